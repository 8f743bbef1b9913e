"""Waits for a stream's end on behalf of a client that asked for the whole answer."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from tidegate.core.notices import Reconnect, sent_away
from tidegate.delivery.disconnect import close_when_gone
from tidegate.delivery.reader_port import ReaderPort

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
