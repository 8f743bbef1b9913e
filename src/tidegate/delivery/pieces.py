"""Sends a long body in pieces: each is made once the one before has been taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from starlette.types import Receive, Send

from tidegate.delivery.departure import disconnected
from tidegate.serving.wire import Wire

KNOWN_BYTES = 256 << 10
"""A body up to this size is made as a whole, and sent with a content-length."""

PIECE_BYTES = 65536
"""How much is sent at once: as much as may wait in a connection."""

STALLED_SECONDS = 60.0
"""How long a client may take for one piece. After that it counts as gone."""


async def beginning(pieces: AsyncGenerator[bytes], size: int = KNOWN_BYTES) -> tuple[bytes, bool]:
    """Joins pieces until they exceed `size` bytes; returns them, and whether there may be more."""
    found: list[bytes] = []
    async for piece in pieces:
        found.append(piece)
        size -= len(piece)
        if size < 0:
            return b"".join(found), True
    return b"".join(found), False


async def send_pieces(receive: Receive, send: Send, pieces: AsyncGenerator[bytes], wire: Wire | None) -> None:
    """Sends the pieces as parts of a body that has begun, until the last, or until the client is gone."""
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
    """Sends a part of the body. False where the client does not take it; its connection is aborted, given a wire."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STALLED_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})
            return True
    if wire is not None:
        wire.abort()
    return False
