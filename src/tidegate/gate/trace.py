"""Gives every request its place in a trace: the client's, or a new one."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.trace_context import TraceContext, current_trace, sent_trace


class TraceMiddleware:
    """Sets `scope["tidegate.trace"]` and `current_trace`: a span below the client's, or the first of a new trace.

    `sampled`: whether new traces are recorded. For others that is the client's choice.
    """

    def __init__(
        self, app: ASGIApp, *, sampled: bool = False, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.app = app
        self.sampled = sampled
        self.random_bytes = random_bytes

    # A plain function: a coroutine of its own would be kept for as long as the answer is. It is called, and awaited,
    # in the task that serves the request alone; so nothing has to be put back.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            scope["tidegate.trace"] = trace = self._trace(scope)
            current_trace.set(trace)
        return self.app(scope, receive, send)

    def _trace(self, scope: Scope) -> TraceContext:
        sent = sent_trace(scope["headers"])
        if sent is None:
            return TraceContext.start(self.random_bytes(24), sampled=self.sampled)
        return sent.child(self.random_bytes(8))
