"""Waiting for a stream's end on behalf of a client that asked for the whole answer."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from tidegate.core.notices import Reconnect
from tidegate.errors import Interrupted
from tidegate.transports.disconnect import close_when_gone
from tidegate.transports.source import Source

SILENCE_SECONDS = 60.0
"""How often a waiting reader looks up; nothing is sent meanwhile, so any number serves."""


async def wait_for_end(receive: Receive, reader: Source) -> bool:
    """Reads to the terminal event; false, and the reader closed, if the client has left before.

    Raises `Interrupted` when the server sends its readers away.
    """
    departure = asyncio.ensure_future(close_when_gone(receive, reader))
    try:
        while not reader.left and not reader.at_end:
            if isinstance(await reader.next(SILENCE_SECONDS), Reconnect):
                raise Interrupted("the server stopped before the answer was complete")
    finally:
        departure.cancel()
    return reader.at_end
