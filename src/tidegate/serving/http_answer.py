"""An application that answers one request, as uvicorn runs it: what breaks its answer is not logged twice."""

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
    """A connection, which can be closed in the midst of an answer."""

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
            # Its client is gone: that the answer has no end is nobody's mistake.
            cycle.disconnected = True
    except (ResponseAborted, asyncio.CancelledError):
        # uvicorn would log a traceback of what has been observed, or is no error: a stop that cannot wait.
        connection.break_off(cycle)
    finally:
        wire.end(cycle)
