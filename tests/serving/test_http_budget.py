"""What one connection, and all of them, may make the process keep or do: over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from eventually_kit import eventually
from protocol_kit import App, listening
from uvicorn.server import ServerState

from tidegate.core.connection import TURNED_AWAY
from tidegate.serving import http_protocol as module
from tidegate.serving.budget import Budget
from tidegate.serving.http_protocol import LimitedHttpProtocol, http_protocol
from tidegate.serving.peers import Peers
from tidegate.serving.pipeline import MOST_WAITING
from tidegate.serving.waiting import Waiting

pytestmark = pytest.mark.anyio

DEADLINE = 10.0
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def respond(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def at_once(scope: Any, receive: Any, send: Any) -> None:
    """Answers by the head alone."""
    await respond(send, b"no", 401)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await respond(send, body)


class Served:
    def __init__(self, port: int, state: ServerState, budget: Budget) -> None:
        self.port = port
        self.state = state
        self.budget = budget

    @property
    def only(self) -> LimitedHttpProtocol:
        (connection,) = self.state.connections
        assert isinstance(connection, LimitedHttpProtocol)
        return connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(app: App, budget: Budget | None = None) -> AsyncIterator[Served]:
    budget = budget or Budget()
    protocol = http_protocol(65536, DEADLINE, budget=budget)
    async with listening(app, protocol) as (port, state):
        yield Served(port, state, budget)


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE):
        return await reader.readuntil(b"\r\n\r\n")


async def pushed(writer: asyncio.StreamWriter, data: bytes, most: int) -> int:
    """How much of it, again and again, is taken until a while passes in which nothing is."""
    sent = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < most:
            writer.write(data)
            sent += len(data)
            await asyncio.wait_for(writer.drain(), 0.3)
    return sent


# One connection


async def test_who_pipelines_and_never_reads_is_read_no_more() -> None:
    """What it sends waits at its own end; here nothing grows, whatever is answered."""
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(len(served.only.pipeline))
        await respond(send, b"x" * 5000)

    async with serving(app) as served, served.connection() as (_, writer):
        assert await pushed(writer, GET * 1000, 100_000_000) < 20_000_000
        assert max(seen) <= MOST_WAITING
        assert served.budget.waiting.total < 512_000


async def test_requests_wait_for_those_before_them() -> None:
    """Four at the most are parsed ahead; all are answered, in their order, once their turn comes."""
    go, most = asyncio.Event(), 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most
        await go.wait()
        most = max(most, len(served.only.pipeline))
        await respond(send, scope["path"].encode())

    async with serving(app) as served, served.connection() as (reader, writer):
        writer.write(b"".join(b"GET /%03d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(300)))
        await eventually(lambda: served.state.connections and len(served.only.pipeline) == 4)
        go.set()
        for n in range(300):
            await head_of(reader)
            assert await reader.readexactly(4) == b"/%03d" % n
    assert most == 4


async def test_heads_that_wait_are_bounded_in_bytes() -> None:
    """A few large ones are as much as many small ones."""

    async def never(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    large = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 60_000 + b"\r\n\r\n"
    async with serving(never) as served, served.connection() as (_, writer):
        await pushed(writer, large, 10_000_000)
        assert len(served.only.pipeline) == 2


async def test_a_queued_body_waits_at_its_client() -> None:
    """The body of a request that waits for its turn is not collected meanwhile, and arrives whole then."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    body = b"b" * 2_000_000
    async with serving(app) as served, served.connection() as (reader, writer):
        writer.write(GET + b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await eventually(lambda: served.budget.waiting.total)
        assert served.budget.waiting.total < 512_000
        go.set()
        await head_of(reader)
        assert b"content-length: 2000000" in await head_of(reader)
        assert await reader.readexactly(len(body)) == body


async def test_tiny_chunks_share_the_turn() -> None:
    """However many there are in one read, others have their turn between them, and the body arrives whole."""
    turns, before = 0, 0

    def tick() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(tick)

    async with serving(echo) as served, served.connection() as (reader, writer):
        await eventually(lambda: served.state.connections)
        protocol = served.only
        served.budget.turns._seconds = 0.0
        tick()
        before = turns
        protocol.data_received(CHUNKED + b"1\r\nx\r\n" * 8000 + b"0\r\n\r\n")
        await head_of(reader)
        assert await reader.readexactly(8000) == b"x" * 8000
        assert turns - before > 8
        writer.close()


async def test_endless_tiny_chunks() -> None:
    """They come to an end long before the body's limit does; larger ones may be as many as they like."""
    async with serving(echo) as served, served.connection() as (reader, writer):
        writer.write(CHUNKED + (b"64\r\n" + b"x" * 100 + b"\r\n") * 20_000 + b"0\r\n\r\n")
        assert b"content-length: 2000000" in await head_of(reader)
        await reader.readexactly(2_000_000)
        writer.write(CHUNKED + b"1\r\nx\r\n" * 10_000)
        assert b" 400 " in await head_of(reader)


async def test_a_head_has_so_many_fields() -> None:
    """Small ones cost more than their bytes."""
    async with serving(echo) as served, served.connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 1001 + b"\r\n")
        assert b" 431 " in await head_of(reader)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"chunked, chunked"])
async def test_codings_that_are_not_known(coding: bytes) -> None:
    """They are refused, and not passed over."""
    async with serving(echo) as served, served.connection() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: %b\r\n\r\n0\r\n\r\n" % coding)
        assert b" 400 " in await head_of(reader)


# Refusals


async def test_what_is_refused_is_not_parsed() -> None:
    """An answer before the body ends the connection; what follows is dropped unseen, but not with a reset."""
    async with serving(at_once) as served, served.connection() as (reader, writer):
        writer.write(CHUNKED + b"1\r\nx\r\n")
        assert b"connection: close" in await head_of(reader)
        protocol = served.only
        protocol._parse = None  # type: ignore[assignment,method-assign]
        writer.write(b"1\r\nx\r\n" * 100_000)
        await asyncio.wait_for(writer.drain(), DEADLINE)
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b"no"


async def test_a_small_body_costs_no_connection() -> None:
    """It is read to its end, and the next request is answered on the same one."""
    async with serving(at_once) as served, served.connection() as (reader, writer):
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n")
            assert b"connection: close" not in await head_of(reader)
            writer.write(b"x" * 5000)
            assert await reader.readexactly(2) == b"no"


async def test_a_large_body_that_is_wanted_keeps_its_connection() -> None:
    """Only whoever is answered too early is closed."""
    async with serving(echo) as served, served.connection() as (reader, writer):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n" + b"x" * 500_000)
            assert b"connection: close" not in await head_of(reader)
            await reader.readexactly(500_000)


async def test_who_waits_for_100_is_refused_without_a_body() -> None:
    """It is never asked for what nobody wants."""
    async with serving(at_once) as served, served.connection() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9999999\r\n\r\n")
        assert b" 401 " in await head_of(reader)


# All of them


async def test_the_largest_bodies_give_way() -> None:
    """Past what may wait in all connections the one that holds most is answered 503, and the others go on."""
    budget = Budget(waiting=Waiting(3_000_000))
    post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n"
    small = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n"
    async with (
        serving(echo, budget) as served,
        served.connection() as (reader, writer),
        served.connection() as (other_reader, other_writer),
    ):
        other_writer.write(small + b"01234")
        writer.write(post + b"x" * 3_100_000)
        head = await head_of(reader)
        assert b" 503 " in head
        assert b"retry-after: 5" in head
        assert b'"overloaded"' in await asyncio.wait_for(reader.read(), DEADLINE)
        other_writer.write(b"56789")
        await head_of(other_reader)
        assert await other_reader.readexactly(10) == b"0123456789"
        assert budget.waiting.total == 0


async def test_what_waits_is_given_back() -> None:
    """However a connection ends."""
    async with serving(echo) as served:
        for rest in (b"x" * 500_000, b""):
            async with served.connection() as (reader, writer):
                writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 500_000)
                await eventually(lambda: served.budget.waiting.total >= 500_000)
                writer.write(rest)
                if rest:
                    await head_of(reader)
            await eventually(lambda: served.budget.waiting.total == 0)


async def told(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, scope.get(TURNED_AWAY).code.encode() if TURNED_AWAY in scope else b"served")


async def test_one_connection_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application is told, and answers for the last time; one that sends nothing is closed soon."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.2)
    async with serving(told, Budget(connections=1)) as served, served.connection() as (first, first_writer):
        first_writer.write(GET)
        assert b"connection: close" not in await head_of(first)
        async with served.connection() as (reader, writer):
            writer.write(GET)
            assert b"connection: close" in await head_of(reader)
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b"overloaded"
        async with served.connection() as (reader, _):
            assert await asyncio.wait_for(reader.read(), DEADLINE / 2) == b""


async def test_connections_that_serve_nobody_count_for_their_address() -> None:
    """While one is answered it counts no more: another may come. It is closed after that if its place is taken."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await go.wait()
        await told(scope, receive, send)

    budget = Budget(peers=Peers(1, lambda address: f"address:{address}"))
    async with serving(app, budget) as served, served.connection() as (first, first_writer):
        await eventually(lambda: served.state.connections)
        async with served.connection() as (reader, writer):
            writer.write(GET)
            await head_of(reader)
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b"too_many_connections"
        first_writer.write(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        await eventually(lambda: not budget.peers.is_full("address:127.0.0.1"))
        async with served.connection() as (reader, writer):
            writer.write(GET)
            await head_of(reader)
            assert await reader.readexactly(6) == b"served"
            go.set()
            assert (await asyncio.wait_for(first.read(), DEADLINE)).endswith(b"served")
    await eventually(lambda: not budget.peers._idle)
