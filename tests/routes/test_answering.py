"""Whatever becomes of an answer, its reader is closed, and nothing of it is left in the registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from eventually_kit import eventually

from tidegate import Tidegate
from tidegate.config import Settings
from tidegate.providers.settings import PythonModel

pytestmark = pytest.mark.anyio

CREATE = {"model": "tap", "prompt": "x"}
CHAT = {"model": "tap", "messages": [{"role": "user", "content": "x"}]}
CALLS = {
    "streamed": ("POST", "/v1/streams", {**CREATE, "stream": True}),
    "whole": ("POST", "/v1/streams", CREATE),
    "chat": ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    "whole chat": ("POST", "/v1/chat/completions", CHAT),
    "topic": ("GET", "/v1/topics/room/events", None),
}


class Gone(Exception):
    """What a server raises that cannot send."""


async def say(request: Any) -> AsyncIterator[str]:
    yield "well"


async def hang(request: Any) -> AsyncIterator[str]:
    yield "well"
    await asyncio.Event().wait()


async def fail(request: Any) -> AsyncIterator[str]:
    raise RuntimeError("a bug in the model")
    yield ""


class Server:
    """One request, as a server has it; it can send so many messages. Its client leaves when it is told to."""

    def __init__(self, body: object, most: int = 1 << 20) -> None:
        self._messages = [{"type": "http.request", "body": json.dumps(body).encode() if body else b""}]
        self._most = most
        self.left = asyncio.Event()
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        if self._messages:
            return self._messages.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if len(self.sent) == self._most:
            raise Gone
        self.sent.append(message)


def scope_of(method: str, path: str) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    at = {"path": path, "raw_path": path.encode(), "root_path": "", "query_string": b""}
    who = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1"}
    return {"type": "http", "asgi": {"version": "3.0"}, "method": method, "headers": headers, **at, **who}


def app_of(answer: Any) -> Tidegate:
    return Tidegate(Settings(models=(PythonModel(name="tap", target=answer),)))


def is_clean(app: Tidegate) -> bool:
    return not app.service.readers.attached and not len(app.registry)


@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.parametrize("name", CALLS)
async def test_a_server_that_cannot_send_leaves_no_reader_behind(name: str, most: int) -> None:
    """Neither where it fails with the headers, nor with the first bytes."""
    method, path, body = CALLS[name]
    app, server = app_of(say), Server(body, most)
    async with asyncio.timeout(5):
        with pytest.raises(Exception):  # noqa: B017, PT011
            await app(scope_of(method, path), server.receive, server.send)
    assert is_clean(app)
    await app.close()


@pytest.mark.parametrize("name", CALLS)
async def test_a_client_that_leaves_takes_its_reader_along(name: str) -> None:
    """Also while nothing has been answered yet, because the whole is waited for."""
    method, path, body = CALLS[name]
    app, server = app_of(hang), Server(body)
    answering = asyncio.ensure_future(app(scope_of(method, path), server.receive, server.send))
    await eventually(lambda: not is_clean(app))
    server.left.set()
    async with asyncio.timeout(5):
        await answering
    assert is_clean(app)
    await app.close()


@pytest.mark.parametrize("name", ["whole", "whole chat", "chat"])
async def test_what_failed_is_answered_with_where_it_is_to_be_found(name: str) -> None:
    """The error's own status, and the headers that name the stream: it can be looked at all the same."""
    method, path, body = CALLS[name]
    app, server = app_of(fail), Server(body)
    async with asyncio.timeout(5):
        await app(scope_of(method, path), server.receive, server.send)
    headers = dict(server.sent[0]["headers"])
    assert server.sent[0]["status"] >= 500
    assert headers[b"location"].endswith(headers[b"tidegate-stream"])
    assert is_clean(app)
    await app.close()
