"""Gives every request its id and every response its `x-request-id`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.request_id import current_request_id, make_request_id, sent_request_id
from tidegate.gate.response_headers import HEADERS


class RequestIdMiddleware:
    """Sets `scope["tidegate.request_id"]` and `current_request_id`. A valid `x-request-id` from the client is kept."""

    def __init__(self, app: ASGIApp, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.app = app
        self.random_bytes = random_bytes

    # A plain function: a coroutine of its own would be kept for as long as the answer is. It is called, and awaited,
    # in the task that serves the request alone; so nothing has to be put back.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            request_id = sent_request_id(scope["headers"]) or make_request_id(self.random_bytes(16))
            scope["tidegate.request_id"] = request_id
            scope[HEADERS].append((b"x-request-id", request_id.encode("ascii")))
            current_request_id.set(request_id)
        return self.app(scope, receive, send)
