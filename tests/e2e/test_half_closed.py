"""Clients that end their side of the connection, at the product: who waits is served, who is gone stops the model."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_kit import fetch
from half_close_kit import all_of

from tidegate import Tidegate
from tidegate.config import Settings
from tidegate.providers.settings import PythonModel
from tidegate.serving import half_close
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

DEADLINE = 14.0
CANCEL = {"model": "tap", "prompt": "x", "on_disconnect": "cancel"}
CHAT = {"model": "tap", "messages": [{"role": "user", "content": "x"}]}

CALLS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "whole": ("/v1/streams", {**CANCEL, "stream": False}, "1.1", ""),
    "events": ("/v1/streams", {**CANCEL, "stream": True}, "1.1", ""),
    "compressed events": ("/v1/streams", {**CANCEL, "stream": True}, "1.1", "accept-encoding: gzip\r\n"),
    "batches": ("/v1/streams", {**CANCEL, "stream": True, "batch": {"max_tokens": 9}}, "1.1", ""),
    "events of HTTP/1.0": ("/v1/streams", {**CANCEL, "stream": True}, "1.0", ""),
    "compressed events of HTTP/1.0": ("/v1/streams", {**CANCEL, "stream": True}, "1.0", "accept-encoding: gzip\r\n"),
    "whole chat": ("/v1/chat/completions", {**CHAT, "stream": False}, "1.1", ""),
    "streamed chat": ("/v1/chat/completions", {**CHAT, "stream": True}, "1.1", ""),
    "whole chat of HTTP/1.0": ("/v1/chat/completions", {**CHAT, "stream": False}, "1.0", ""),
}


class Tap:
    """A model that says one word at once, and the others once it may; it knows how it ended."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()

    async def answer(self, request: Any) -> AsyncIterator[str]:
        try:
            yield "first "
            self.began.set()
            await self.go.wait()
            yield "last"
        finally:
            self.stopped.set()


@asynccontextmanager
async def tapped(*, wire: bool = True) -> AsyncIterator[tuple[Tap, str]]:
    tap = Tap()
    app = Tidegate(Settings(models=(PythonModel(name="tap", target=tap.answer),)))
    async with serving(app, wire=wire) as url:
        yield tap, url
        await app.close()


def request_of(path: str, body: dict[str, Any], version: str, fields: str) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content


async def connected(url: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    client.setblocking(False)
    return client


def text_of(answer: bytes) -> str:
    """The body, without its chunks and not compressed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding" in head:
        pieces, rest = b"", body
        while rest and (size := int(rest.partition(b"\r\n")[0], 16)):
            rest = rest.partition(b"\r\n")[2]
            pieces, rest = pieces + rest[:size], rest[size + 2 :]
        body = pieces
    return (zlib.decompress(body, 31) if b"content-encoding: gzip" in head else body).decode()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once a client has been probed, and found to be there or not."""
    happened, is_reset = asyncio.Event(), half_close.is_reset

    def look(transport: asyncio.Transport) -> bool:
        happened.set()
        return is_reset(transport)

    monkeypatch.setattr(half_close, "is_reset", look)
    return happened


@pytest.mark.parametrize("name", CALLS)
async def test_who_has_shut_down_its_side_has_the_whole_answer(name: str, looked: asyncio.Event) -> None:
    """However it is delivered, and however long it takes."""
    async with tapped() as (tap, url):
        with await connected(url) as client:
            await asyncio.get_running_loop().sock_sendall(client, request_of(*CALLS[name]))
            client.shutdown(socket.SHUT_WR)
            await tap.began.wait()
            await looked.wait()
            assert not tap.stopped.is_set()
            tap.go.set()
            answer = await all_of(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer
    assert "last" in text_of(answer)


@pytest.mark.parametrize("close", [False, True])
async def test_events_may_go_through_other_middleware(looked: asyncio.Event, close: bool) -> None:
    """What is sent to ask is part of the next chunk's size, and of no event."""
    async with tapped(wire=False) as (tap, url):
        with await connected(url) as client:
            await asyncio.get_running_loop().sock_sendall(client, request_of(*CALLS["events"]))
            await tap.began.wait()
            await drained(client) if close else client.shutdown(socket.SHUT_WR)
            if not close:
                await looked.wait()
                tap.go.set()
                assert "event: completed" in text_of(await all_of(client))
        async with asyncio.timeout(1):
            await tap.stopped.wait()


@pytest.mark.parametrize("name", CALLS)
async def test_who_closes_stops_the_model_at_once(name: str) -> None:
    """By FIN alone, with nothing left unread, as a browser's tab does it."""
    async with tapped() as (tap, url):
        with await connected(url) as client:
            await asyncio.get_running_loop().sock_sendall(client, request_of(*CALLS[name]))
            await tap.began.wait()
            await drained(client)
        # Before the first heartbeat, which would find it out, too.
        async with asyncio.timeout(DEADLINE):
            await tap.stopped.wait()
        _, _, page = await fetch(f"{url}/v1/streams")
    assert [stream["status"] for stream in page["data"]] == ["cancelled"]


async def test_who_is_asked_in_company_misses_nothing(looked: asyncio.Event) -> None:
    """It leaves the broadcast for a moment; the others notice nothing."""
    async with tapped() as (tap, url):
        _, headers, _ = await fetch(f"{url}/v1/streams", "POST", {**CANCEL, "background": True})
        request = f"GET {headers['location']}/events HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        await tap.began.wait()
        with await connected(url) as one, await connected(url) as other:
            for client in (one, other):
                await asyncio.get_running_loop().sock_sendall(client, request)
            one.shutdown(socket.SHUT_WR)
            await looked.wait()
            tap.go.set()
            other.shutdown(socket.SHUT_WR)
            texts = [text_of(await all_of(client)) for client in (one, other)]
    for text in texts:
        assert [text.count(f"event: {name}") for name in ("started", "delta", "completed")] == [1, 2, 1]


async def drained(client: socket.socket) -> None:
    """Reads what has come: a system that has to drop anything would send a reset by itself."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(0.1):
            while await loop.sock_recv(client, 65536):
                pass
    except TimeoutError:
        pass
