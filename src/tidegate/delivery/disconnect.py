"""Notices that a client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive

from tidegate.delivery.reader_port import ReaderPort


async def disconnected(receive: Receive) -> None:
    """Returns when the client has left. Reads and drops the rest of the request's body."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def close_when_gone(receive: Receive, source: ReaderPort) -> None:
    """Closes the reader when its client has left."""
    await disconnected(receive)
    source.close()


async def unless_gone(receive: Receive, source: ReaderPort, happening: Awaitable[None]) -> bool:
    """Awaits `happening`, and raises what it raises. False if the client leaves first, which closes the reader."""
    awaited = asyncio.ensure_future(happening)
    departure = asyncio.ensure_future(close_when_gone(receive, source))
    try:
        await asyncio.wait((awaited, departure), return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            awaited.result()
    finally:
        awaited.cancel()
        departure.cancel()
    return not source.left
