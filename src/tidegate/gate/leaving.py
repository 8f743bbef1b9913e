"""Asks the clients of a server that is about to stop to make other connections, which lead them to other servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.gate.response_headers import HEADERS

CLOSE = (b"connection", b"close")


class LeavingMiddleware:
    """Closes each connection after its answer while `is_leaving` says so.

    A balancer decides with the connection where its requests go: on a kept one they would all come here until the
    server is gone, and the last of them might be lost with it. Only HTTP/1 has the header.
    """

    def __init__(self, app: ASGIApp, *, is_leaving: Callable[[], bool]) -> None:
        self.app = app
        self._is_leaving = is_leaving

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._is_leaving() and scope["type"] == "http" and scope["http_version"].startswith("1"):
            scope[HEADERS].append(CLOSE)
        return self.app(scope, receive, send)
