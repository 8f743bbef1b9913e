"""Clients that shut down their side: who waits is answered, who is gone is found out. Over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from eventually_kit import eventually
from half_close_kit import all_of

from tidegate.serving import half_close as module
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

DEADLINE = 5.0
PROMPT = 1.0
GET = b"GET / HTTP/1.1\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Slow:
    """An application that answers once it may, and knows who has left before."""

    def __init__(self) -> None:
        self.asked = 0
        self.left = 0
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        going = asyncio.ensure_future(self.go.wait())
        while not going.done():
            leaving = asyncio.ensure_future(receive())
            await asyncio.wait((going, leaving), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done() and leaving.result()["type"] == "http.disconnect":
                self.left += 1
                going.cancel()
                return
            leaving.cancel()
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def slow() -> AsyncIterator[tuple[Slow, int]]:
    app = Slow()
    async with serving(app) as url:
        yield app, int(url.rpartition(":")[2])


@contextmanager
def client_of(port: int, request: bytes = GET) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(request)
        client.setblocking(False)
        yield client


async def test_who_has_shut_down_its_side_is_answered() -> None:
    """In one piece where the answer is there, and then the connection is closed."""
    async with slow() as (app, port):
        app.go.set()
        with client_of(port) as client:
            client.shutdown(socket.SHUT_WR)
            first = await asyncio.get_running_loop().sock_recv(client, 65536)
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
            assert (first + await all_of(client)).endswith(b"connection: close\r\n\r\n/")


async def test_an_answer_may_take_longer_than_it_takes_to_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client sees nothing of that: its answer's beginning comes early, byte by byte, and no byte twice."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.01)
    async with slow() as (app, port):
        with client_of(port) as client:
            client.shutdown(socket.SHUT_WR)
            begun = b""
            async with asyncio.timeout(DEADLINE):
                while begun != module.START:
                    begun += await asyncio.get_running_loop().sock_recv(client, 1)
            app.go.set()
            rest = await all_of(client)
    assert rest.startswith(b"200 OK\r\n")
    assert rest.endswith(b"connection: close\r\n\r\n/")


@pytest.mark.parametrize(
    "body", [b"", b"GET /half HTTP/1.1\r\nhost", b"POST /half HTTP/1.1\r\ncontent-length: 9\r\n\r\nab"]
)
async def test_all_that_has_arrived_whole_is_answered(body: bytes) -> None:
    """Pipelined requests, too; half of one that follows is dropped."""
    async with slow() as (app, port):
        with client_of(port, b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n" + body) as client:
            client.shutdown(socket.SHUT_WR)
            await eventually(lambda: app.asked)
            app.go.set()
            answers = await all_of(client)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.endswith(b"connection: close\r\n\r\n/2")
    assert app.left == 0


HALVES = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nhost: loc",
    "half a body": b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab",
    "half a chunk": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
async def test_half_a_request_will_never_be_whole(half: bytes) -> None:
    """The connection is closed at once, and an application that waits for the rest is told."""
    async with slow() as (app, port):
        with client_of(port, half) as client:
            if b"\r\n\r\n" in half:
                await eventually(lambda: app.asked)
            client.shutdown(socket.SHUT_WR)
            assert await all_of(client) == b""
            await eventually(lambda: app.left == app.asked)


@pytest.mark.parametrize("after", [b"\x00garbage\r\n\r\n", b"GET"])
async def test_garbage_does_not_hang(after: bytes) -> None:
    """What is no HTTP ends the connection, as from anybody."""
    async with slow() as (_, port):
        with client_of(port, after) as client:
            client.shutdown(socket.SHUT_WR)
            await all_of(client)


async def test_who_closes_is_gone_before_the_answer() -> None:
    """Its system answers the first byte with a reset; the application knows within a second."""
    async with slow() as (app, port):
        with client_of(port):
            await eventually(lambda: app.asked)
        await eventually(lambda: app.left, within=PROMPT)


async def test_who_closes_with_requests_waiting_is_gone() -> None:
    """Whatever else it had asked for is not begun."""
    async with slow() as (app, port):
        with client_of(port, GET * 3):
            await eventually(lambda: app.asked)
        await eventually(lambda: app.left, within=PROMPT)
        assert app.asked == 1


async def test_who_breaks_off_is_gone_at_once() -> None:
    """A reset needs no question, also after a half-close."""
    async with slow() as (app, port):
        with client_of(port) as client:
            await eventually(lambda: app.asked)
            client.shutdown(socket.SHUT_WR)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await eventually(lambda: app.left, within=PROMPT)


async def test_who_waits_and_then_closes_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again from time to time."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.1)
    async with slow() as (app, port):
        with client_of(port) as client:
            await eventually(lambda: app.asked)
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b"H"
        await eventually(lambda: app.left)


async def test_an_idle_connection_is_closed_with_its_client() -> None:
    """Nobody waits for anything on it."""
    async with slow() as (app, port):
        app.go.set()
        with client_of(port) as client:
            assert (await asyncio.get_running_loop().sock_recv(client, 65536)).endswith(b"/")
            client.shutdown(socket.SHUT_WR)
            assert await all_of(client) == b""
