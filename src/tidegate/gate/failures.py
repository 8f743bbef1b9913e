"""Turns every exception into a typed answer, and tells the observer of those that should not happen."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.connection import REFUSED, ClientDisconnected, ResponseAborted
from tidegate.core.detached import detached_of
from tidegate.core.error_response import error_response
from tidegate.core.masking import masked, masked_path
from tidegate.core.traceback import forget
from tidegate.errors import InternalError, StoreUnavailable, StreamNotFound, TidegateError
from tidegate.gate.reconnect import answer_reconnect
from tidegate.gate.response_headers import WatchedSend
from tidegate.gate.route_policy import ROUTE, RoutePolicy
from tidegate.observe.base import Failure, Observer

POLICY = 1008
"""RFC 6455, 7.4.1: the code that refuses a handshake under a server that cannot answer it as HTTP."""


class FailureMiddleware:
    """Answers what inner layers raise. It stands inside the request id and the access log, around all that may raise.

    A handler that knows its stream sets `scope["tidegate.stream_id"]`, which the failure is then observed with.
    Once the answer has begun it can only be broken off: `ResponseAborted` makes the server close the connection.
    """

    def __init__(self, app: ASGIApp, *, observer: Observer) -> None:
        self.app = app
        self.observer = observer
        # One bound method for all answers that are detached.
        self._step = self._broken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        watched, around = WatchedSend(send), sys.exception()
        try:
            await self.app(scope, receive, watched)
        except ClientDisconnected:
            return
        except ResponseAborted:
            raise
        except Exception as exc:
            error = self._told(scope, exc, broken=watched.started)
            # Exceptions that an application around this one is handling are left alone.
            forget(exc, until=around)
            if watched.started:
                raise ResponseAborted from None
            if isinstance(error, StoreUnavailable) and _wants_events(scope):
                await answer_reconnect(scope, send, error.retry_after or 0, error.code)
            else:
                await _answer(error, scope, send)
        else:
            if (detached := detached_of(scope)) is not None:
                detached.then(self._step)

    def _broken(self, scope: MutableMapping[str, Any], error: Exception | None) -> ResponseAborted | None:
        if error is None or isinstance(error, ClientDisconnected):
            return None
        self._told(scope, error, broken=True)
        forget(error)
        return ResponseAborted()

    def _told(self, scope: MutableMapping[str, Any], exc: Exception, *, broken: bool) -> TidegateError:
        """The error for the client. Tells the observer of it where the server is to blame."""
        error = typed(exc)
        scope[REFUSED] = error.code
        # The text may repeat a path or name from the request.
        error.message = masked(error.message)
        error.param = error.param and masked(error.param)
        # Who reads a stream that is forgotten is cut off, and that is nobody's fault.
        if (broken and not isinstance(exc, StreamNotFound)) or error.status == 500:
            self._observe(scope, exc)
        return error

    def _observe(self, scope: MutableMapping[str, Any], exc: Exception) -> None:
        request_id: str | None = scope.get("tidegate.request_id")
        stream: str | None = scope.get("tidegate.stream_id")
        stream = None if stream is None else masked_path(stream)
        self.observer.observe(Failure("http", exc, request_id=request_id, stream=stream))


def typed(exc: Exception) -> TidegateError:
    """The typed error that a client is told of `exc`. Of a bug it says nothing more: the text may hold anything."""
    if isinstance(exc, TidegateError):
        return exc
    return InternalError("The server failed to answer this request. Its log has the details under the request id.")


def _wants_events(scope: Scope) -> bool:
    """Whether this is the GET of an `EventSource`, which comes back when it is told to, but not after an error."""
    route: RoutePolicy | None = scope.get(ROUTE)
    return scope["type"] == "http" and route is not None and route.events


async def _answer(error: TidegateError, scope: Scope, send: Send) -> None:
    response = error_response(error, scope.get("tidegate.request_id"))
    prefix = ""
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY, "reason": error.code})
            return
        prefix = "websocket."
    await send({"type": f"{prefix}http.response.start", "status": response.status, "headers": response.headers})
    body = b"" if scope.get("method") == "HEAD" else response.body
    await send({"type": f"{prefix}http.response.body", "body": body})
