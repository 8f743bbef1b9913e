"""Ends every request: tells the observer of it, and no longer counts its connection."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.connection import REFUSED
from tidegate.core.detached import detached_of
from tidegate.core.masking import masked_path
from tidegate.core.principal import Principal
from tidegate.core.trace_context import current_trace
from tidegate.gate.connections import Connections
from tidegate.gate.response_headers import WatchedSend
from tidegate.observe.base import Observer, RequestDone

ANSWERED = "tidegate.answered"
"""Where in an ASGI scope this middleware keeps when the request began, its answer's status, head and kind, and its
span: what is detached may end in another context."""

_SHARED_VIEW = re.compile(r"/s/.+", re.DOTALL)


SHORT = 64
"""Paths up to so many characters are cached with their secrets masked, since masking takes longer than routing. A cache
of longer ones would be memory that a caller can fill."""


def public_path(path: str) -> str:
    """The path without share tokens: the shared view `/s/TOKEN` becomes `/s/***`, under any prefix."""
    return _short_path(path) if len(path) <= SHORT else _path(path)


def _path(path: str) -> str:
    return masked_path(_SHARED_VIEW.sub("/s/***", path))


_short_path = lru_cache(1024)(_path)


class AccessMiddleware:
    """Tells the observer of each `RequestDone`, without its query, which may hold an `access_token`.

    What inner layers find out is read from the scope: `tidegate.principal`, `tidegate.stream_id`, `tidegate.route`,
    `REFUSED`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        observer: Observer,
        connections: Connections | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.observer = observer
        self.connections = connections
        self.clock = clock
        # One bound method for all answers that are detached.
        self._step = self._over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        watched, began = WatchedSend(send, self.clock), self.clock()
        try:
            await self.app(scope, receive, watched)
        finally:
            streamed = watched.events or scope["type"] == "websocket"
            scope[ANSWERED] = began, watched.status, watched.head, streamed, current_trace.get()
            if (detached := detached_of(scope)) is None:
                self._over(scope)
            else:
                detached.then(self._step)

    def _over(self, scope: MutableMapping[str, Any], error: Exception | None = None) -> Exception | None:
        if self.connections is not None:
            self.connections.leave(scope)
        self.observer.observe(_done(scope, self.clock()))
        return error


def _done(scope: MutableMapping[str, Any], now: float) -> RequestDone:
    principal: Principal | None = scope.get("tidegate.principal")
    client = scope.get("client")
    # A `Route`, a type that this room cannot import.
    route: Any = scope.get("tidegate.route")
    stream: str | None = scope.get("tidegate.stream_id")
    began, status, head, streamed, span = scope[ANSWERED]
    return RequestDone(
        request_id=scope.get("tidegate.request_id"),
        method=scope.get("method", "GET"),
        path=public_path(scope["path"]),
        status=status,
        code=scope.get(REFUSED),
        duration_s=now - began,
        principal=None if principal is None else principal.name,
        address=None if client is None else client[0],
        stream=None if stream is None else masked_path(stream),
        quiet=not streamed and route is not None and (route.scope is None or route.local),
        route=None if route is None else route.path,
        head_s=None if status is None else head - began,
        streamed=streamed,
        span=span,
    )
