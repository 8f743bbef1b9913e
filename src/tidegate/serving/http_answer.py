"""Runs the application for one request under uvicorn, and ends answers that uvicorn would not.

It takes the place of uvicorn's `run_asgi`, for which an answer that is detached would be incomplete. An answer that
breaks off is not logged twice. Clients before HTTP/1.1 cannot read chunks: the end of the connection ends the body
there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from functools import partial
from typing import Any, Protocol, cast

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tidegate.core.connection import ResponseAborted
from tidegate.core.detached import detached_of, forget_spent
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
    """The connection of an answer, which can be closed in the middle of it."""

    def break_off(self, cycle: RequestResponseCycle, /) -> None: ...

    def rest(self) -> None:
        """A detached answer goes on: nothing may be read for a long time."""
        ...


def start(tasks: set[asyncio.Task[None]], answering: Coroutine[Any, Any, None]) -> None:
    """Runs `answering` as one of the tasks that the server waits for before it stops."""
    task = asyncio.get_running_loop().create_task(answering)
    task.add_done_callback(tasks.discard)
    tasks.add(task)


async def answer(app: App, cycle: RequestResponseCycle, wire: Wire, connection: Breakable) -> None:
    """Runs the application for this request alone. An answer that it has detached is ended later."""
    until_close = None if cycle.scope["http_version"] == "1.1" else UntilClose(cycle)
    wire.begin(cycle, until_close)
    try:
        await app(cycle.scope, cycle.receive, until_close or cycle.send)
    except (ResponseAborted, asyncio.CancelledError):
        # The abort has been observed already, and a cancelled task is a forced stop.
        connection.break_off(cycle)
    except Exception:
        # Of an application that is not ours.
        cycle.logger.exception("Exception in ASGI application")
        await _fail(cycle, connection)
    else:
        scope = cast("MutableMapping[str, Any]", cycle.scope)
        if (detached := detached_of(scope)) is not None:
            detached.then(partial(_over, cycle, wire, connection))
            scope["headers"].clear()
            forget_spent(scope)
            connection.rest()
            return
        if not (cycle.response_complete or cycle.disconnected or cycle.transport.is_closing()):
            cycle.logger.error("The ASGI application returned without completing its response.")
            await _fail(cycle, connection)
    _leave(cycle, wire)


async def _fail(cycle: RequestResponseCycle, connection: Breakable) -> None:
    """Answers 500, or breaks off an answer that has begun."""
    if cycle.response_started:
        connection.break_off(cycle)
    else:
        await cycle.send_500_response()


def _over(cycle: RequestResponseCycle, wire: Wire, connection: Breakable, _: Any, error: Exception | None) -> None:
    """The last step of a detached answer. One that was not finished, e.g. when the server stops, breaks off."""
    if not isinstance(error, ResponseAborted | None):
        cycle.logger.error("Exception in a detached answer", exc_info=error)
    if not cycle.response_complete:
        connection.break_off(cycle)
    _leave(cycle, wire)


def _leave(cycle: RequestResponseCycle, wire: Wire) -> None:
    wire.end(cycle)
    # uvicorn's own end: the cycle, which its connection keeps, and the connection would keep each other.
    cycle.on_response = _nothing


def _nothing() -> None:
    pass
