from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest
from eventually_kit import eventually
from starlette.types import Receive, Scope, Send

from tidegate.serving.wire import wire_of
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


async def opened(*fields: tuple[bytes, bytes], method: str = "GET") -> list[bool]:
    """Whether the wire was open before the head was sent, and after; and that of the next request before its head."""
    found: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        assert wire is not None
        found.append(wire.open)
        await send({"type": "http.response.start", "status": 200, "headers": list(fields)})
        found.append(wire.open)
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as url:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in range(2):
            writer.write(f"{method} / HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
        # The last of these may have been the end of the first response's chunks.
        await eventually(lambda: len(found) > 2)
        writer.transport.abort()
    return found[:3]


async def test_it_opens_with_the_head_of_a_chunked_response() -> None:
    """Before it, and for the next request, no chunk may be written."""
    assert await opened() == [False, True, False]


async def test_it_stays_shut_where_no_chunks_may_follow() -> None:
    """A response whose length was said has none, nor has one without a body."""
    assert await opened((b"content-length", b"0")) == [False, False, False]
    assert await opened(method="HEAD") == [False, False, False]
