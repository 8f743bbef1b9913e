"""How an upstream's connections are used again, over both schemes, on the loops of asyncio and of uvloop."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tidegate.core.events import GenerationRequest
from tidegate.errors import ProviderError, UpstreamInterrupted
from tidegate.http_client import pool as pool_module
from tidegate.http_client.connect import connect, tls
from tidegate.http_client.connection import ClientConnection, ResponseHead
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.pool import END_SECONDS, IDLE_SECONDS, MAX_IDLE, REST_SECONDS, ConnectionPool
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.sink import RecordingSink
from tidegate.testing.upstream import (
    DONE,
    Close,
    End,
    FakeUpstream,
    Hang,
    Head,
    Raw,
    Reply,
    Reset,
    Script,
    Send,
    Tokens,
    Wait,
    chat,
    chunk,
)

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).parent / "localhost.pem"

REQUEST = GenerationRequest(model="m", messages=())

ANSWER: Script = [*chat("a")[:-2], Raw(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")]
"""Its end comes in one read with its `[DONE]`, so that it has been read when the generation is over."""

LONG: Script = [*chat("a", "b", delay=REST_SECONDS)[:-2], ANSWER[-1]]
"""An answer that gives another connection time to rest."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(params=["http", "https"])
def server_tls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext | None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    yield context if request.param == "https" else None
    tls.cache_clear()


def url(upstream: FakeUpstream) -> str:
    return upstream.url.replace("127.0.0.1", "localhost")


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a response would be waited for longer than a test lasts."""
    monkeypatch.setattr(pool_module, "END_SECONDS", 3600.0)


@asynccontextmanager
async def running(upstream: FakeUpstream) -> AsyncGenerator[OpenAIProvider]:
    provider = OpenAIProvider(OpenAIModel(name="m", base_url=url(upstream)))
    await provider.start()
    try:
        async with asyncio.timeout(30):
            yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def pool_of(
    address: str, *, rest_seconds: float = 0.0, idle_seconds: float = IDLE_SECONDS
) -> AsyncGenerator[ConnectionPool]:
    opens = functools.partial(connect, Endpoint.parse(address), 5.0)
    pool = ConnectionPool(opens, rest_seconds=rest_seconds, idle_seconds=idle_seconds)
    try:
        async with asyncio.timeout(30):
            yield pool
    finally:
        pool.close()


class Listener:
    """A receiver that knows how far the response has come."""

    def __init__(self) -> None:
        self.read = asyncio.Event()
        self.over = asyncio.Event()

    def answered(self, head: ResponseHead) -> None:
        pass

    def receive(self, data: bytes) -> None:
        self.read.set()

    def closed(self, error: Exception | None) -> None:
        self.over.set()


def ask(connection: ClientConnection) -> Listener:
    listener = Listener()
    connection.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", listener)
    return listener


async def exchange(pool: ConnectionPool) -> ClientConnection:
    connection = await pool.take()
    await ask(connection).over.wait()
    pool.give_back(connection)
    return connection


async def text(provider: OpenAIProvider) -> str:
    sink = RecordingSink()
    await provider.generate(REQUEST, sink)
    return sink.text


# When a connection is used again


async def test_a_connection_takes_one_request_after_the_other(server_tls: ssl.SSLContext | None) -> None:
    """The way to the upstream, TLS included, is gone once."""
    async with FakeUpstream([Reply(200)], tls=server_tls) as upstream, pool_of(url(upstream)) as pool:
        connection = await exchange(pool)
        assert [await exchange(pool) for _ in range(2)] == [connection] * 2
        assert (upstream.connections, len(upstream.requests)) == (1, 3)


async def test_generations_without_a_pause_take_turns_on_two_connections() -> None:
    """One rests while the other is at work."""
    async with FakeUpstream(LONG) as upstream, running(upstream) as provider:
        assert [await text(provider) for _ in range(4)] == ["ab"] * 4
        assert upstream.connections == 2


async def test_a_connection_rests_before_it_is_taken_again() -> None:
    """A server that closes after each answer, without having said so, is not met with a request."""
    async with FakeUpstream([Reply(200)]) as upstream, pool_of(upstream.url, rest_seconds=0.05) as pool:
        used = [await exchange(pool)]
        given_back = asyncio.get_running_loop().time()
        while (connection := await exchange(pool)) not in used:
            used.append(connection)
        assert asyncio.get_running_loop().time() - given_back >= 0.04


async def test_the_request_does_not_ask_for_the_connection_to_be_closed() -> None:
    """HTTP/1.1 keeps connections unless somebody says otherwise."""
    async with FakeUpstream(ANSWER) as upstream, running(upstream) as provider:
        await text(provider)
    assert "connection" not in upstream.requests[0].headers


async def test_the_newest_connection_is_taken_first() -> None:
    """It is the least likely to be closed by the upstream, and the others may run out of time."""
    async with FakeUpstream([Reply(200)]) as upstream, pool_of(upstream.url) as pool:
        first, second = await pool.take(), await pool.take()
        for connection in (first, second):
            await ask(connection).over.wait()
            pool.give_back(connection)
        assert [await pool.take(), await pool.take()] == [second, first]


async def test_the_end_of_the_response_may_come_after_done(server_tls: ssl.SSLContext | None) -> None:
    """The generation does not wait for it; the connection does, and is used again."""
    ends = asyncio.Event()
    script = [Head(), DONE, Wait(ends), End()]
    async with FakeUpstream(script, tls=server_tls) as upstream, pool_of(url(upstream)) as pool:
        connection = await pool.take()
        listener = ask(connection)
        await listener.read.wait()
        pool.give_back(connection)
        assert await pool.take() is not connection
        ends.set()
        await listener.over.wait()
        assert await pool.take() is connection


# When it is not


@pytest.mark.parametrize("script", [[Hang()], [Head(), Tokens(["a"]), Hang()], [*chat("a")[:3], Hang()]])
async def test_a_cancelled_generation_leaves_no_connection_behind(script: Script, endless: None) -> None:
    """It is closed at once, since that is what stops the work upstream; the next one opens its own."""
    async with FakeUpstream(script, ANSWER) as upstream, running(upstream) as provider:
        sink = RecordingSink()
        task = asyncio.create_task(provider.generate(REQUEST, sink))
        await upstream.received()
        if len(script) > 1:
            await sink.holds(1)
        task.cancel()
        await asyncio.wait([task])
        await upstream.closed(0)
        assert await text(provider) == "a"
        assert upstream.connections == 2


@pytest.mark.parametrize(
    "script", [[Reply(429, {"error": {"message": "no"}})], [Head(), Send(b"data: {oops\n\n"), End()]]
)
async def test_a_failed_generation_leaves_no_connection_behind(script: Script) -> None:
    """What went wrong once is not asked again over the same connection."""
    async with FakeUpstream(script, ANSWER) as upstream, running(upstream) as provider:
        with pytest.raises(ProviderError):
            await provider.generate(REQUEST, RecordingSink())
        await upstream.closed(0)
        assert await text(provider) == "a"
        assert upstream.connections == 2


@pytest.mark.parametrize(
    "script",
    [
        [Head(headers={"connection": "close"}), *ANSWER[1:], Close()],
        [Head(headers={"connection": "close"}), *chat("a")[1:], Close()],
        [Head(chunked=False), *chat("a")[1:]],
        [Raw(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"), Send(chunk({"content": "a"})), DONE],
    ],
    ids=["close", "close, late", "until the close", "HTTP/1.0"],
)
async def test_an_upstream_that_closes_is_taken_at_its_word(script: Script, endless: None) -> None:
    """Each of its answers has its own connection, given up as soon as the answer is over."""
    async with FakeUpstream(script) as upstream, running(upstream) as provider:
        assert [await text(provider) for _ in range(3)] == ["a"] * 3
        await upstream.closed(2)
        assert upstream.connections == 3


async def test_an_upstream_that_closes_idle_connections_is_met_with_no_error(
    server_tls: ssl.SSLContext | None,
) -> None:
    """The end of an idle connection takes it away, and the next request opens another."""
    async with FakeUpstream([Reply(200), Close()], tls=server_tls) as upstream, pool_of(url(upstream)) as pool:
        for number in range(3):
            await exchange(pool)
            await upstream.closed(number)
        assert (upstream.connections, len(upstream.requests)) == (3, 3)


async def test_a_close_that_the_loop_has_not_read_yet_is_seen() -> None:
    """A loop that is busy may learn late of what has long arrived: a request is not sent into it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with pool_of(f"http://127.0.0.1:{listening.getsockname()[1]}") as pool:
            connection = await pool.take()
            with listening.accept()[0] as accepted:
                listener = ask(connection)
                accepted.sendall(OK)
                await listener.over.wait()
                pool.give_back(connection)
            assert connection.persistent
            assert await pool.take() is not connection


async def test_a_connection_that_is_being_closed_is_not_taken() -> None:
    """Nothing has been sent, so another one is taken instead."""
    async with FakeUpstream([Reply(200)]) as upstream, pool_of(upstream.url) as pool:
        connection = await exchange(pool)
        connection.abort()
        assert await pool.take() is not connection


@pytest.mark.parametrize("late", [b"\r\n", b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"])
async def test_late_bytes_close_an_idle_connection(late: bytes, server_tls: ssl.SSLContext | None) -> None:
    """They would be read as the answer to the next request."""
    sends = asyncio.Event()
    script = [Reply(200), Wait(sends), Raw(late), Hang()]
    async with FakeUpstream(script, tls=server_tls) as upstream, pool_of(url(upstream)) as pool:
        connection = await exchange(pool)
        sends.set()
        await upstream.closed(0)
        assert await pool.take() is not connection


async def test_bytes_after_the_end_close_the_connection() -> None:
    """Those that come with the end of the response are no better than those that come later."""
    ends = asyncio.Event()
    async with (
        FakeUpstream([Head(), DONE, Wait(ends), Raw(b"0\r\n\r\n" + OK)]) as upstream,
        pool_of(upstream.url) as pool,
    ):
        connection = await pool.take()
        listener = ask(connection)
        await listener.read.wait()
        pool.give_back(connection)
        ends.set()
        await listener.over.wait()
        assert await pool.take() is not connection
        await upstream.closed(0)


@pytest.mark.parametrize("script", [[Reset()], [Close()]])
async def test_a_request_is_never_sent_twice(script: Script) -> None:
    """An upstream that closes a used connection instead of answering may have begun: its failure is the answer."""
    async with FakeUpstream(ANSWER, LONG, script) as upstream, running(upstream) as provider:
        for _ in range(2):
            await text(provider)
        with pytest.raises(UpstreamInterrupted):
            await provider.generate(REQUEST, RecordingSink())
        assert (upstream.connections, len(upstream.requests)) == (2, 3)


# How many are kept, and for how long


async def test_so_many_idle_connections_are_kept() -> None:
    """One more is closed."""
    async with FakeUpstream([Reply(200)]) as upstream, pool_of(upstream.url) as pool:
        connections = [await pool.take() for _ in range(MAX_IDLE + 1)]
        for connection in connections:
            await ask(connection).over.wait()
            pool.give_back(connection)
        await upstream.closed(MAX_IDLE)
        assert [await pool.take() for _ in range(MAX_IDLE)] == connections[-2::-1]
        assert upstream.connections == MAX_IDLE + 1


async def test_lost_connections_take_no_place() -> None:
    """An upstream that closes what it was left with has its next connections kept."""
    scripts = [[Reply(200), Close()]] * MAX_IDLE + [[Reply(200)]]
    async with FakeUpstream(*scripts) as upstream, pool_of(upstream.url) as pool:
        connections = [await pool.take() for _ in scripts]
        for connection in connections:
            await ask(connection).over.wait()
            pool.give_back(connection)
        assert await pool.take() is connections[-1]


async def test_an_idle_connection_is_closed_after_its_time(server_tls: ssl.SSLContext | None) -> None:
    """Before the upstream would do it, so that no request meets its close on the way."""
    async with FakeUpstream([Reply(200)], tls=server_tls) as upstream, pool_of(url(upstream), idle_seconds=0.1) as pool:
        loop = asyncio.get_running_loop()
        connections = [await pool.take() for _ in range(3)]
        given_back: list[float] = []
        for connection in connections:
            await ask(connection).over.wait()
            pool.give_back(connection)
            given_back.append(loop.time())
        for number, since in enumerate(given_back):
            assert await upstream.closed(number) - since > 0.09
        assert await pool.take() not in connections


async def test_a_connection_past_its_time_is_not_taken() -> None:
    """Not even by a loop too busy to have closed it."""
    async with FakeUpstream([Reply(200)]) as upstream, pool_of(upstream.url, idle_seconds=0.0) as pool:
        connection = await exchange(pool)
        assert connection.persistent
        assert await pool.take() is not connection


async def test_a_response_that_does_not_end_is_not_waited_for() -> None:
    """The generation is over with `[DONE]`, and shortly afterwards so is the connection."""
    async with FakeUpstream([*chat("a")[:-1], Hang()]) as upstream, running(upstream) as provider:
        await text(provider)
        over = asyncio.get_running_loop().time()
        assert await upstream.closed(0) - over > END_SECONDS * 0.9


async def test_the_shorter_wait_is_not_held_up_by_the_longer() -> None:
    """One timer serves both: a response without an end is given up while another connection is idle."""
    async with (
        FakeUpstream([Reply(200)], [Head(), DONE, Hang()]) as upstream,
        pool_of(upstream.url, idle_seconds=20) as pool,
    ):
        idle, endless = await pool.take(), await pool.take()
        await ask(idle).over.wait()
        pool.give_back(idle)
        await ask(endless).read.wait()
        pool.give_back(endless)
        await upstream.closed(1)
        assert await pool.take() is idle


# The end


@pytest.mark.parametrize("script", [[Reply(200, b"ok")], [Head(), DONE, Hang()]], ids=["idle", "not ended"])
async def test_closing_closes_what_is_kept(script: Script, endless: None) -> None:
    """Nothing is left open, whether it is idle or has yet to end, and nothing is kept from then on."""
    async with FakeUpstream(script) as upstream, pool_of(upstream.url) as pool:
        kept, taken = await pool.take(), await pool.take()
        for connection in (kept, taken):
            await ask(connection).read.wait()
        pool.give_back(kept)
        pool.close()
        pool.give_back(taken)
        for number in range(2):
            await upstream.closed(number)


async def test_a_provider_that_closes_leaves_no_connection() -> None:
    """An upstream that shuts down after tidegate has none of its connections to wait for."""
    async with FakeUpstream(ANSWER) as upstream:
        async with running(upstream) as provider:
            await text(provider)
            over = asyncio.get_running_loop().time()
        assert await upstream.closed(0) - over < 1
