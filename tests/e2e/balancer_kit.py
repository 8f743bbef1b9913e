"""A balancer in front of several servers: each connection goes to the next one that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from urllib.parse import urlsplit


class Balancer:
    def __init__(self, urls: Sequence[str]) -> None:
        self._count = len(urls)
        self._next = cycle([(parts.hostname, parts.port) for parts in map(urlsplit, urls)])
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for host, port in (next(self._next) for _ in range(self._count)):
            try:
                back, front = await asyncio.open_connection(host, port)
            except OSError:
                continue
            there = asyncio.create_task(_copy(reader, front))
            try:
                await _copy(back, writer)
            finally:
                there.cancel()
                front.close()
            return


@asynccontextmanager
async def balancer(*urls: str) -> AsyncIterator[str]:
    """The URL of a balancer in front of these."""
    balancing = Balancer(urls)
    server = await asyncio.start_server(balancing.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        await balancing.stop()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
