"""Runs the application for one request under uvicorn, and ends answers that uvicorn would not.

An answer that breaks off is not logged twice. Clients before HTTP/1.1 cannot read chunks: the end of the connection
ends the body there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tidegate.core.connection import ResponseAborted
from tidegate.serving.wire import Wire


class UntilClose:
    """ASGI's `send` for a client before HTTP/1.1 (RFC 9112, 6.1 and 6.3). The connection is closed after the answer.

    `unbounded`: whether the head has been sent without a content-length.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        cycle.keep_alive = False
        self.unbounded = False

    async def __call__(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            message = self._start(message)
        elif self.unbounded and message["type"] == "http.response.body":
            # Makes uvicorn take each piece for as long as was announced.
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._cycle.send(message)

    def _start(self, message: HTTPResponseStartEvent) -> HTTPResponseStartEvent:
        headers = [field for field in message.get("headers", ()) if field[0].lower() != b"transfer-encoding"]
        self.unbounded = all(name.lower() != b"content-length" for name, _ in headers)
        if self.unbounded:
            self._cycle.chunked_encoding = False
        return cast("Any", {**message, "headers": headers})


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
