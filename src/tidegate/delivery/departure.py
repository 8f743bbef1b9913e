"""Notices that a client has left, while its answer is sent or waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive

from tidegate.core.notices import Reconnect, sent_away
from tidegate.delivery.reader_port import ReaderPort


async def disconnected(receive: Receive) -> None:
    """Returns when the client has left. Reads and drops the rest of the request's body."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def close_when_gone(receive: Receive, reader: ReaderPort) -> None:
    """Closes the reader when its client has left."""
    await disconnected(receive)
    reader.close()


async def unless_gone(receive: Receive, reader: ReaderPort, happening: Awaitable[None]) -> bool:
    """Awaits `happening`, and raises what it raises. False if the client leaves first, which closes the reader."""
    awaited = asyncio.ensure_future(happening)
    departure = asyncio.ensure_future(close_when_gone(receive, reader))
    try:
        await asyncio.wait((awaited, departure), return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            awaited.result()
    finally:
        awaited.cancel()
        departure.cancel()
    return not reader.left


SILENCE_SECONDS = 60.0
"""How often a waiting reader wakes up without events. Nothing is sent then, so the number matters little."""


async def wait_for_end(receive: Receive, reader: ReaderPort) -> bool:
    """Reads to the terminal event. False if the client leaves before, which closes the reader.

    Raises `TokenExpired` or `Interrupted` when the server sends the reader away.
    """
    departure = asyncio.ensure_future(close_when_gone(receive, reader))
    try:
        while not reader.left and not reader.at_end:
            found = await reader.next(SILENCE_SECONDS)
            if isinstance(found, Reconnect):
                raise sent_away(found)
    finally:
        departure.cancel()
    return reader.at_end
