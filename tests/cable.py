"""A cable between a client and a server, that can be cut, and mended, and lose what is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit


class Cable:
    """Forwards TCP connections to the server at `target`, a URL that may be changed. Made by `laid`."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop) -> None:
        self.target = target
        self.url = ""
        self.connections = 0
        """How many have been asked for, in vain or not."""
        self._loop = loop
        self._whole = True
        self._flows = asyncio.Event()
        self._flows.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[Any]] = set()

    def cut(self) -> None:
        """Breaks every connection, and new ones as they come."""
        self._whole = False
        self._run(self._break())

    def hold(self) -> None:
        """Takes connections and what is sent, and hands nothing on, until it is mended: nobody is told."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def mend(self) -> None:
        self._whole = True
        self._loop.call_soon_threadsafe(self._flows.set)

    def lay(self) -> None:
        self._server = self._run(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._run(self._close())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _break(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _close(self) -> None:
        self._flows.set()
        self._server.close()
        await self._break()
        await asyncio.gather(*self._carrying)

    async def _connect(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self._whole:
            near_out.transport.abort()
            return
        parts = urlsplit(self.target)
        far_in, far_out = await asyncio.open_connection(parts.hostname, parts.port)
        self._ends |= {near_out, far_out}
        self._carrying |= {
            asyncio.create_task(_carry(near_in, far_out, self._flows)),
            asyncio.create_task(_carry(far_in, near_out, self._flows)),
        }


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            await flows.wait()
            sink.write(data)
            await sink.drain()
    sink.close()


@contextmanager
def laid(target: str) -> Iterator[Cable]:
    """A cable to the server at `target`, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    cable = Cable(target, loop)
    cable.lay()
    try:
        yield cable
    finally:
        cable.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
