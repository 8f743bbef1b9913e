"""Gives every request its id and every response its `x-request-id`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.core.request_id import current_request_id, make_request_id, sent_request_id


class RequestIdMiddleware:
    """Sets `scope["tidegate.request_id"]` and `current_request_id`. A fit `x-request-id` of the client's is kept."""

    def __init__(self, app: ASGIApp, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.app = app
        self.random_bytes = random_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = sent_request_id(scope["headers"]) or make_request_id(self.random_bytes(16))
        scope["tidegate.request_id"] = request_id
        header = (b"x-request-id", request_id.encode("ascii"))

        # A plain function that hands on the awaitable costs no coroutine per message of a stream.
        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            return send(message)

        token = current_request_id.set(request_id)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            current_request_id.reset(token)
