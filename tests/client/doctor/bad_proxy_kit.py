"""Proxies with faults that nginx cannot be made to have. Each connection carries one call, as the doctor's do."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit


class Side(NamedTuple):
    """One side of a connection that is passed on."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Passing = Callable[[bytes, Side, Side], Awaitable[None]]
"""Passes one call on: the head of its request, the client, and the server."""


@asynccontextmanager
async def proxy(url: str, passing: Passing) -> AsyncIterator[str]:
    """The URL of a proxy in front of the server at this URL."""
    parts = urlsplit(url)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        back, front = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                await passing(head, Side(reader, writer), Side(back, front))
        finally:
            writer.transport.abort()
            front.transport.abort()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def to_and_fro(head: bytes, client: Side, server: Side) -> None:
    """Passes everything on as it comes."""
    server.writer.write(head)
    async with asyncio.TaskGroup() as group:
        there = group.create_task(_copy(client.reader, server.writer))
        await _copy(server.reader, client.writer)
        there.cancel()


async def compress_without_flush(head: bytes, client: Side, server: Side) -> None:
    """Compresses event streams for whoever takes gzip, and sends what the compressor gives out by itself."""
    if b"accept-encoding: gzip" not in head or b"/events" not in head:
        await to_and_fro(head, client, server)
        return
    server.writer.write(head.replace(b"accept-encoding: gzip\r\n", b""))
    answer = await server.reader.readuntil(b"\r\n\r\n")
    answer = answer.replace(b"transfer-encoding: chunked", b"content-encoding: gzip").removesuffix(b"\r\n")
    client.writer.write(answer + b"connection: close\r\n\r\n")
    compressor = zlib.compressobj(wbits=31)
    while size := int(await server.reader.readline(), 16):
        client.writer.write(compressor.compress((await server.reader.readexactly(size + 2))[:-2]))
        await client.writer.drain()
    client.writer.write(compressor.flush())
    await client.writer.drain()


def silent_after(seconds: float) -> Passing:
    """Passes nothing of a stream with a single reader on after so long, and does not close: as a firewall that has
    forgotten the connection."""
    shared: set[bytes] = set()

    async def passing(head: bytes, client: Side, server: Side) -> None:
        target = head.split()[1]
        if b"accept-encoding: gzip" in head:
            shared.add(target)
        server.writer.write(head)
        async with asyncio.TaskGroup() as group:
            there = group.create_task(_copy(client.reader, server.writer))
            back = group.create_task(_copy(server.reader, client.writer))
            await asyncio.wait([back], timeout=seconds)
            if target.endswith(b"/events") and target not in shared and not back.done():
                back.cancel()
                await there
            await asyncio.wait([back])
            there.cancel()

    return passing


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
