"""A proxy with a fault that nginx cannot be made to have. Each connection carries one call, as the doctor's do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

LATER = (
    b"HTTP/1.1 429 X\r\ncontent-type: application/json\r\nretry-after: 0\r\ncontent-length: 46\r\n\r\n"
    b'{"error": {"message": "x", "request_id": "r"}}'
)

RECONNECT = (
    b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    b'event: reconnect\ndata: {"after_ms": 10, "reason": "capacity"}\n\n'
)


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


@asynccontextmanager
async def refusing_once(url: str, ending: str, answer: bytes) -> AsyncIterator[str]:
    """The URL of a proxy in front of the server at this URL: the first GET of a path that ends so gets this answer."""
    parts = urlsplit(url)
    refused = False
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        head = await reader.readuntil(b"\r\n\r\n")
        back, front = await asyncio.open_connection(parts.hostname, parts.port)
        with suppress(OSError, asyncio.CancelledError):
            if not refused and head.split()[1].endswith(ending.encode()):
                refused = True
                writer.write(answer)
                await writer.drain()
            else:
                front.write(head)
                await asyncio.wait(
                    [asyncio.ensure_future(_copy(reader, front)), asyncio.ensure_future(_copy(back, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        writer.close()
        front.transport.abort()
        serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
