"""Answers to clients before HTTP/1.1, which cannot read chunks: the end of the connection ends the body."""

from __future__ import annotations

from typing import Any, cast

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class UntilClose:
    """ASGI's `send` for such an answer (RFC 9112, 6.1 and 6.3). The connection is closed after it.

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
