"""An application that answers one request, as uvicorn runs it: what breaks its answer is not logged twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tidegate.core.connection import ResponseAborted
from tidegate.transports.until_close import UntilClose
from tidegate.transports.wire import Wire

App = Callable[[Any, Any, Any], Awaitable[None]]


def answering(app: App, cycle: RequestResponseCycle, wire: Wire, break_off: Callable[[], None]) -> App:
    """The application, for this request alone. `break_off` closes the connection in the midst of the answer."""
    transport = cycle.transport
    until_close = None if cycle.scope["http_version"] == "1.1" else UntilClose(cycle)

    async def run(scope: Any, receive: Any, send: Any) -> None:
        wire.begin(cycle, until_close)
        try:
            await app(scope, receive, until_close or send)
            if transport.is_closing():
                # Its client is gone: that the answer has no end is nobody's mistake.
                cycle.disconnected = True
        except (ResponseAborted, asyncio.CancelledError):
            # uvicorn would log a traceback of what has been observed, or is no error: a stop that cannot wait.
            break_off()
        finally:
            wire.end(cycle)

    return run
