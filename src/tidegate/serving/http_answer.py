"""Runs the application for one request under uvicorn, so that an answer that breaks off is not logged twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tidegate.core.connection import ResponseAborted
from tidegate.serving.until_close import UntilClose
from tidegate.serving.wire import Wire

App = Callable[[Any, Any, Any], Awaitable[None]]


class Breakable(Protocol):
    """A connection that can be closed in the middle of an answer."""

    def break_off(self, cycle: RequestResponseCycle, /) -> None: ...


async def answer(
    app: App, cycle: RequestResponseCycle, wire: Wire, connection: Breakable, scope: Any, receive: Any, send: Any
) -> None:
    """Runs the application for this request alone."""
    until_close = None if cycle.scope["http_version"] == "1.1" else UntilClose(cycle)
    wire.begin(cycle, until_close)
    try:
        await app(scope, receive, until_close or send)
        if cycle.transport.is_closing():
            # The client is gone, so uvicorn must not report an incomplete answer.
            cycle.disconnected = True
    except (ResponseAborted, asyncio.CancelledError):
        # uvicorn would log a traceback. But the abort has been observed already, and a cancelled task is a forced stop.
        connection.break_off(cycle)
    finally:
        wire.end(cycle)
