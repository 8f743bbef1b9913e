"""A request without a server, and an observer that remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from starlette.types import ASGIApp, Message

from tidegate.observe.base import Occurrence


class Recorder:
    def __init__(self) -> None:
        self.seen: list[Occurrence] = []

    def observe(self, occurrence: Occurrence) -> None:
        self.seen.append(occurrence)


class Exchange:
    """Sends one request through an application and keeps what it answers."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self.messages: list[Message] = []

    async def __call__(
        self,
        app: ASGIApp,
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        method: str = "GET",
        path: str = "/",
        query: bytes = b"",
        http_version: str = "1.1",
    ) -> Exchange:
        self.messages = []
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "http_version": http_version,
            "headers": list(headers),
        }
        await app(self.scope, self._receive, self._send)
        return self

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])

    @property
    def error(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)["error"]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()
