"""Answers and sockets whose application has returned, over real connections."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from eventually_kit import eventually
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tidegate.core.detached import DETACH, Detached, detach
from tidegate.serving.budget import Budget
from tidegate.serving.long_body import LONG_BYTES
from tidegate.serving.wire import Wire, wire_of
from tidegate.serving.ws_wire import socket_wire_of
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


class Answers:
    """Detaches the answer at `/events`, and answers all else at once."""

    detaches = True

    def __init__(self) -> None:
        self.detached: Detached
        self.wire: Wire
        self.paths: list[str] = []
        self.changes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/events":
            wire, detached = wire_of(scope), detach(scope)
            assert wire is not None
            assert detached is not None
            self.wire, self.detached = wire, detached
            wire.watch(1000, self._changed, lambda: wire.write(wire.frame(b":")))
            wire.write(wire.frame(b"first"))
        else:
            await send({"type": "http.response.body", "body": b"whole"})

    def _changed(self) -> None:
        self.changes += 1


@asynccontextmanager
async def connected(app: Any, *paths: str) -> AsyncIterator[Streams]:
    """A connection to a server of `app`, on which these paths have been asked for, all at once."""
    async with serving(app) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"".join(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in paths))
        yield reader, writer
        writer.close()


async def test_an_answer_that_goes_on_has_no_task() -> None:
    """Only the server's own are there, and what is written arrives."""
    app = Answers()
    async with connected(app, "/events") as (reader, _):
        tasks = len(asyncio.all_tasks())
        await reader.readuntil(b"first\r\n")
        await eventually(lambda: len(asyncio.all_tasks()) == tasks)
        app.wire.write(app.wire.frame(b"second"))
        await reader.readuntil(b"6\r\nsecond\r\n")
        assert not any("answer" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_its_connection_serves_the_next_request() -> None:
    """Once the answer is finished, whether that request came before or after."""
    app = Answers()
    async with connected(app, "/events", "/early") as (reader, writer):
        await reader.readuntil(b"first\r\n")
        assert app.paths == ["/events"]
        app.wire.finish(b"last")
        app.detached.end()
        await reader.readuntil(b"4\r\nlast\r\n0\r\n\r\n")
        await reader.readuntil(b"whole\r\n0\r\n\r\n")
        writer.write(b"GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"whole\r\n0\r\n\r\n")
        assert app.paths == ["/events", "/early", "/late"]


async def test_a_request_that_comes_while_it_goes_on_waits_for_its_end() -> None:
    """Its parser was dropped, and another one reads on."""
    app = Answers()
    async with connected(app, "/events") as (reader, writer):
        await reader.readuntil(b"first\r\n")
        writer.write(b"GET /la")
        await writer.drain()
        writer.write(b"te HTTP/1.1\r\nhost: localhost\r\n\r\n")
        app.wire.finish(b"")
        app.detached.end()
        await reader.readuntil(b"whole\r\n0\r\n\r\n")
        assert app.paths == ["/events", "/late"]


async def test_one_that_is_not_finished_breaks_off() -> None:
    """Its client must not take it for complete, whether it failed or the server stops."""
    for error in (None, RuntimeError("a bug")):
        app = Answers()
        async with connected(app, "/events") as (reader, _):
            await reader.readuntil(b"first\r\n")
            app.detached.end(error)
            assert await reader.read() == b""


async def test_the_departure_of_its_client_is_told() -> None:
    """The wire is gone then, and the end of the answer writes nothing."""
    app = Answers()
    async with connected(app, "/events") as (reader, writer):
        await reader.readuntil(b"first\r\n")
        writer.close()
        await eventually(lambda: app.wire.gone)
        assert app.changes
        app.detached.end()


async def test_a_client_that_asked_for_no_more_is_left_after_it() -> None:
    """Its connection is closed behind the last byte."""
    app = Answers()
    async with connected(app) as (reader, writer):
        writer.write(b"GET /events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        await reader.readuntil(b"first\r\n")
        app.wire.finish(b"last")
        app.detached.end()
        assert await reader.read() == b"4\r\nlast\r\n0\r\n\r\n"


async def test_an_application_within_another_detaches_nothing() -> None:
    """The one around it takes the return of a call for the end of its answer."""
    inner, able = Answers(), list[bool]()

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        able.append(DETACH in scope["extensions"])
        await inner({**scope, "path": "/whole"}, receive, send)

    async with connected(outer, "/events") as (reader, _):
        await reader.readuntil(b"whole\r\n0\r\n\r\n")
    assert able == [False]


class Sockets:
    """Accepts, detaches, and keeps what the listener is given.

    A text `fail` ends the socket by an error, and `raise` makes the listener raise.
    """

    detaches = True

    def __init__(self) -> None:
        self.heard: list[tuple[str, str | None]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.detached: Detached
        self.answering: asyncio.Task[Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wire, detached = socket_wire_of(scope), detach(scope)
        assert wire is not None
        assert detached is not None
        self.detached = detached
        name.set("anna")
        wire.ear.listen(self._hear)

    async def _hear(self, message: Any) -> None:
        self.answering = asyncio.current_task()
        await self.go_on.wait()
        self.heard.append((name.get(), message.get("text")))
        if message["type"] == "websocket.disconnect":
            self.detached.end()
        elif message["text"] == "fail":
            self.detached.end(RuntimeError("a bug"))
        elif message["text"] == "raise":
            raise RuntimeError("a bug")


async def test_a_socket_is_heard_in_order_by_one_task_while_there_is_something_to_hear() -> None:
    """And in the context of its application; its last message is the disconnect."""
    app = Sockets()
    async with serving(app) as url, asyncio.timeout(10):
        async with connect(url.replace("http", "ws")) as client:
            await eventually(lambda: not any("_listen" in repr(task) for task in asyncio.all_tasks()))
            app.go_on.clear()
            for number in range(3):
                await client.send(str(number))
            assert app.heard == []
            app.go_on.set()
            await eventually(lambda: len(app.heard) == 3)
            await client.send("3")
            await eventually(lambda: len(app.heard) == 4)
        await eventually(lambda: len(app.heard) == 5)
    assert app.heard == [("anna", "0"), ("anna", "1"), ("anna", "2"), ("anna", "3"), ("anna", None)]


async def closing_code(client: ClientConnection) -> int:
    """The code that the server closes the socket with, before it sends anything else."""
    with pytest.raises(ConnectionClosed) as closed:
        await client.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_a_socket_that_fails_is_closed_by_1011_and_heard_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """What its client has sent behind is dropped; the log has the failure, which nobody has dealt with."""
    app = Sockets()
    async with serving(app) as url, asyncio.timeout(10), connect(url.replace("http", "ws")) as client:
        app.go_on.clear()
        await client.send("fail")
        await client.send("more")
        app.go_on.set()
        assert await closing_code(client) == 1011
    assert [text for _, text in app.heard] == ["fail"]
    assert "the application failed on a WebSocket" in caplog.text


async def test_a_forced_stop_closes_a_socket_by_1001_and_answers_nothing_more() -> None:
    """What waits behind the message that was cancelled is not begun; the application hears of the disconnect."""
    app, budget = Sockets(), Budget()
    async with serving(app, budget=budget) as url, asyncio.timeout(10), connect(url.replace("http", "ws")) as client:
        app.go_on.clear()
        await client.send("cancelled")
        await client.send("x" * (LONG_BYTES + 1))
        await eventually(lambda: app.answering is not None and budget.waiting.total > LONG_BYTES)
        assert app.answering is not None
        app.answering.cancel()
        app.go_on.set()
        assert await closing_code(client) == 1001
        assert budget.waiting.total == 0
        await eventually(lambda: app.heard)
    assert app.heard == [("anna", None)]


async def test_a_listener_that_raises_closes_its_socket_by_1011(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is in the log; of what has come behind it hears the disconnect alone, and can clear up."""
    app = Sockets()
    async with serving(app) as url, asyncio.timeout(10), connect(url.replace("http", "ws")) as client:
        app.go_on.clear()
        await client.send("raise")
        await client.send("behind")
        app.go_on.set()
        assert await closing_code(client) == 1011
        await eventually(lambda: len(app.heard) == 2)
    assert [text for _, text in app.heard] == ["raise", None]
    assert "the application failed on a WebSocket" in caplog.text
