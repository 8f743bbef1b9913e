"""A long body in pieces: the next is made once the one before is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from starlette.types import Receive, Send

from tidegate.delivery.disconnect import disconnected
from tidegate.serving.wire import Wire

KNOWN_BYTES = 256 << 10
"""A body up to this size is made as a whole, and its length is said."""

PIECE_BYTES = 65536
"""Sent at once: as much as may wait in a connection."""

STALLED_SECONDS = 60.0
"""For a client to take a piece: it reads nothing, and is as good as gone."""


async def beginning(pieces: AsyncGenerator[bytes], size: int = KNOWN_BYTES) -> tuple[bytes, bool]:
    """The pieces together until there are so many bytes, and whether there may be more."""
    found: list[bytes] = []
    async for piece in pieces:
        found.append(piece)
        size -= len(piece)
        if size < 0:
            return b"".join(found), True
    return b"".join(found), False


async def send_pieces(receive: Receive, send: Send, pieces: AsyncGenerator[bytes], wire: Wire | None) -> None:
    """Sends them as parts of a body that has begun, until the last, or until the client is gone."""
    departure = asyncio.ensure_future(disconnected(receive))
    waiting: list[bytes] = []
    size = 0
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                waiting.append(piece)
                size += len(piece)
                if size >= PIECE_BYTES:
                    if departure.done() or not await _sent(send, b"".join(waiting), wire):
                        return
                    waiting.clear()
                    size = 0
        await _sent(send, b"".join(waiting), wire)
    finally:
        departure.cancel()


async def _sent(send: Send, body: bytes, wire: Wire | None) -> bool:
    """False where the client takes nothing: its connection is broken, where that can be done."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STALLED_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})
            return True
    if wire is not None:
        wire.abort()
    return False
