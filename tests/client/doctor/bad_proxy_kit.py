"""A proxy with a fault that nginx cannot be made to have. Each connection carries one call, as the doctor's do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Forgetful:
    """After `seconds` it passes nothing more of a stream that has a single reader, and does not close: like a firewall
    that has forgotten the connection."""

    def __init__(self, url: str, seconds: float) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._seconds = seconds
        self._shared: set[bytes] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        back, front = await asyncio.open_connection(*self._server)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                front.write(head)
                async with asyncio.TaskGroup() as group:
                    there = group.create_task(_copy(reader, front))
                    await self._answer(head, group.create_task(_copy(back, writer)), there)
        finally:
            writer.transport.abort()
            front.transport.abort()
            self._serving.discard(task)

    async def stop(self) -> None:
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _answer(self, head: bytes, passing: asyncio.Task[None], asking: asyncio.Task[None]) -> None:
        target = head.split()[1]
        if b"accept-encoding: gzip" in head:
            self._shared.add(target)
        await asyncio.wait([passing], timeout=self._seconds)
        if target.endswith(b"/events") and target not in self._shared and not passing.done():
            passing.cancel()
            await asking
        await asyncio.wait([passing])
        asking.cancel()


@asynccontextmanager
async def forgetful(url: str, seconds: float) -> AsyncIterator[str]:
    """The URL of one in front of the server at this URL."""
    proxy = Forgetful(url, seconds)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await proxy.stop()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
