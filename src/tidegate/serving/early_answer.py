"""Answers that are complete before their request is: the rest of the body is neither waited for nor parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

SKIP_BYTES = 65536
"""A body up to this size is read to its end after an early answer, which is cheap, and the connection stays open.
After a larger one, or one whose size is not known, the connection is closed."""


class ClosingAnswer:
    """As much of a transport as uvicorn's cycle uses; its `close` lets the client read the answer first.

    `keeps_alive`: whether the connection stays open if the body comes in time.
    """

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], None], *, keeps_alive: bool) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = linger
        self.keeps_alive = keeps_alive


def close_if_early(cycle: RequestResponseCycle, transport: asyncio.Transport, linger: Callable[[], None]) -> None:
    """Makes the answer close the connection, unless the body comes in time."""
    closing = ClosingAnswer(transport, linger, keeps_alive=cycle.keep_alive)
    cycle.transport = cast("asyncio.Transport", closing)
    cycle.keep_alive = False


def came_whole(cycle: RequestResponseCycle, transport: asyncio.Transport) -> None:
    """The body is complete: an answer that has not begun will not close the connection."""
    closing = cast("object", cycle.transport)
    if isinstance(closing, ClosingAnswer):
        if not cycle.response_started:
            cycle.keep_alive = closing.keeps_alive
        cycle.transport = transport
