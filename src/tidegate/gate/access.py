"""Tells the observer of every request once its answer is over."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.observe.base import Observer, RequestDone

_SHARE_TOKEN = re.compile(r"/s/+[^/]+")


def public_path(path: str) -> str:
    """The path without the token of a shared view: `/s/TOKEN` becomes `/s/***`, under any prefix."""
    return _SHARE_TOKEN.sub("/s/***", path)


class AccessMiddleware:
    """Observes `RequestDone`. Queries may hold an `access_token`, so they are never part of it."""

    def __init__(self, app: ASGIApp, *, observer: Observer, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self.observer = observer
        self.clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status: int | None = None
        began = self.clock()

        def watch(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            self.observer.observe(
                RequestDone(
                    request_id=scope.get("tidegate.request_id"),
                    method=scope["method"],
                    path=public_path(scope["path"]),
                    status=status,
                    duration_s=self.clock() - began,
                )
            )
