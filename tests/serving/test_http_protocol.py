"""The hardened protocol, over real sockets, on both event loops it runs on."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from eventually_kit import eventually
from protocol_kit import App, listening
from uvicorn.server import ServerState

from tidegate.core.connection import ResponseAborted
from tidegate.serving import http_protocol as module
from tidegate.serving.http_protocol import http_protocol

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
LIMIT = 4000
SHORT = 0.3
DEADLINE = 10.0


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what arrived, as JSON, once it has arrived whole."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    names = [name.decode() for name, _ in scope["headers"]]
    seen = {"method": scope["method"], "path": scope["path"], "headers": names, "body": body.decode()}
    await respond(send, json.dumps(seen).encode())


async def never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def respond(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Served:
    def __init__(self, port: int, state: ServerState) -> None:
        self.port = port
        self.state = state

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    async def get(self) -> int:
        """The status another client gets at the same time."""
        async with self.connection() as other:
            return (await other.ask(GET)).status


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes, *, head: bool = False) -> Response:
        self.writer.write(data)
        return await self.response(head=head)

    async def response(self, *, head: bool = False) -> Response:
        async with asyncio.timeout(DEADLINE):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = dict(line.split(": ", 1) for line in lines[1:])
            body = b"" if head else await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Response(int(lines[0].split(" ")[1]), headers, body)

    async def rest(self, *, seconds: float = DEADLINE) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(seconds):
            return await self.reader.read()


class Response:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


@asynccontextmanager
async def serving(app: App = echo, *, seconds: float = DEADLINE, keep_alive: float = 60) -> AsyncIterator[Served]:
    protocol = http_protocol(LIMIT, seconds, random_bytes=lambda n: b"\xab" * n)
    async with listening(app, protocol, timeout_keep_alive=keep_alive) as (port, state):
        yield Served(port, state)


def assert_refused(response: Response, status: int, code: str) -> None:
    assert (response.status, response.error["code"]) == (status, code)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["connection"] == "close"
    assert response.headers["x-request-id"] == response.error["request_id"] == "req_" + "ab" * 16


# What goes on working


async def test_keep_alive() -> None:
    """One connection serves one request after the other."""
    async with serving() as server, server.connection() as client:
        for _ in range(3):
            assert (await client.ask(GET)).status == 200


async def test_pipelining() -> None:
    """Requests sent together are answered in their order."""
    both = b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\n\r\n"
    async with serving() as server, server.connection() as client:
        client.writer.write(both)
        assert [json.loads((await client.response()).body)["path"] for _ in range(3)] == ["/1", "/2", "/3"]


async def test_expect_continue() -> None:
    """A client that asks whether it may send its body is told to go on, and then its connection ends."""
    async with serving() as server, server.connection() as client:
        asked = await client.ask(b"POST / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert asked.status == 100
        response = await client.ask(b"hi")
        assert json.loads(response.body)["body"] == "hi"
        assert response.headers["connection"] == "close"
        assert await client.rest() == b""


async def test_http_1_0() -> None:
    """HTTP/1.0 is answered, and its connection closed."""
    async with serving() as server, server.connection() as client:
        assert (await client.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200
        assert await client.rest() == b""


async def test_head() -> None:
    """HEAD is answered without a body, and the connection goes on."""
    async with serving() as server, server.connection() as client:
        assert (await client.ask(b"HEAD / HTTP/1.1\r\n\r\n", head=True)).status == 200
        assert (await client.ask(GET)).status == 200


async def test_white_space_around_values() -> None:
    """It is no part of them, in any field (RFC 9112, 5.1); within them it stays."""

    async def values(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"|".join(value for _, value in scope["headers"]))

    request = b"GET / HTTP/1.1\r\nhost: \tlocalhost \r\nx-a:b \t c\t \r\nx-b:\t \r\n\r\n"
    async with serving(values) as server, server.connection() as client:
        assert (await client.ask(request)).body == b"localhost|b \t c|"


@pytest.mark.parametrize("host", [b"a.example", b"a.example, b.example"])
async def test_absolute_targets(host: bytes) -> None:
    """They name the host; what Host says is not looked at (RFC 9112, 3.2.2)."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, json.dumps([scope["path"], str(scope["query_string"]), str(scope["headers"])]).encode())

    request = b"GET http://b.example:81/a%%20b?c=d HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    async with serving(told) as server, server.connection() as client:
        seen = json.loads((await client.ask(request)).body)
        assert seen == ["/a b", "b'c=d'", "[(b'host', b'b.example:81')]"]


async def test_chunked_body_in_single_bytes() -> None:
    """A request may arrive in any pieces; the fields of its trailer are not taken for headers."""
    request = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nx-late: 1\r\n\r\n"
    async with serving() as server, server.connection() as client:
        for byte in request:
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        seen = json.loads((await client.response()).body)
        assert (seen["body"], seen["headers"]) == ("abcd", ["transfer-encoding"])


async def test_large_body() -> None:
    """The limit on heads is none on bodies, however they are cut."""
    body = b"x" * (LIMIT * 100)
    chunked = b"".join(b"%x\r\n%s\r\n" % (500, body[i : i + 500]) for i in range(0, len(body), 500)) + b"0\r\n\r\n"
    async with serving() as server, server.connection() as client:
        whole = await client.ask(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        pieces = await client.ask(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + chunked)
        assert json.loads(whole.body)["body"] == json.loads(pieces.body)["body"] == body.decode()


# Upgrades


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
async def test_upgrade_is_ignored(protocol: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A request for an upgrade is served as plain HTTP with its whole body; the connection goes on, in silence."""
    head = b"POST /1 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: %s\r\ncontent-length: 4\r\n\r\nbo" % protocol
    async with serving() as server, server.connection() as client:
        client.writer.write(head)
        await client.writer.drain()
        seen = json.loads((await client.ask(b"dy")).body)
        assert (seen["path"], seen["body"]) == ("/1", "body")
        assert (await client.ask(GET)).status == 200
    assert not caplog.records


async def test_many_upgrades_at_once() -> None:
    """A thousand pipelined upgrades are a thousand requests."""
    request = b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    async with serving() as server, server.connection() as client:
        client.writer.write(request * 1000)
        assert {(await client.response()).status for _ in range(1000)} == {200}


async def test_upgrade_of_a_last_request() -> None:
    """What follows the last request of a connection does not spoil its answer."""
    last = b"GET / HTTP/1.1\r\nconnection: close, upgrade\r\nupgrade: x\r\n\r\n"
    async with serving() as server, server.connection() as client:
        assert (await client.ask(last + GET)).status == 200


async def test_connect_is_refused() -> None:
    """The server is no proxy."""
    async with serving() as server, server.connection() as client:
        assert_refused(await client.ask(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n"), 400, "malformed_http")


# Heads that are too large


BOMBS = {
    "one huge header": b"GET / HTTP/1.1\r\nx: " + b"a" * 3_000_000 + b"\r\n\r\n",
    "one endless header": b"GET / HTTP/1.1\r\nx: " + b"a" * 3_000_000,
    "one endless name": b"GET / HTTP/1.1\r\n" + b"a" * 3_000_000,
    "many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    "endless headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500_000,
    "a huge URL": b"GET /" + b"a" * 3_000_000 + b" HTTP/1.1\r\n\r\n",
    "an endless URL": b"GET /" + b"a" * 3_000_000,
    "endless empty lines": b"\r\n" * 1_000_000,
    "just over the limit": b"GET / HTTP/1.1\r\nx: " + b"a" * (LIMIT - 5) + b"\r\n\r\n",
    "the second request": GET + b"GET / HTTP/1.1\r\nx: " + b"a" * 3_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_header_bombs(bomb: bytes) -> None:
    """Too large a head is answered 431, even to a client that sends all of it first, and others are served on."""
    async with serving() as server, server.connection() as client:
        if bomb.startswith(GET):
            assert (await client.ask(GET)).status == 200
            bomb = bomb[len(GET) :]
        client.writer.write(bomb)
        async with asyncio.timeout(DEADLINE):
            await client.writer.drain()
        assert_refused(await client.response(), 431, "headers_too_large")
        assert await server.get() == 200


@pytest.mark.parametrize("end", [b"3;" + b"x" * 3_000_000, b"0\r\nt: " + b"x" * 3_000_000])
async def test_bombs_within_a_chunked_body(end: bytes) -> None:
    """Chunk extensions and trailers have the limit of a head, for no limit on bodies would see them."""
    async with serving() as server, server.connection() as client:
        response = await client.ask(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n" + end)
        assert_refused(response, 431, "headers_too_large")


async def test_head_within_the_limit() -> None:
    """The limit is the number of bytes, not of headers or of reads."""
    head = b"GET / HTTP/1.1\r\nx: " + b"a" * (LIMIT - 6) + b"\r\n\r\n"
    async with serving() as server, server.connection() as client:
        for _ in range(2):
            assert (await client.ask(head)).status == 200


async def test_bomb_is_not_kept() -> None:
    """However much a refused client goes on sending, the parser is given no more than twice the limit."""
    fed = 0
    async with serving() as server, server.connection() as client:
        client.writer.write(b"GET / HTTP/1.1\r\nx: ")
        await client.writer.drain()
        await eventually(lambda: server.state.connections)
        (protocol,) = server.state.connections
        parse = protocol._parse

        def counting(data: bytes) -> bytes:
            nonlocal fed
            fed += len(data)
            return parse(data)

        protocol._parse = counting
        assert_refused(await client.ask(b"a" * 10_000_000), 431, "headers_too_large")
    assert fed <= 2 * LIMIT


# Requests that do not arrive


HALVES = {
    "the request line": b"GET / HT",
    "the head": b"GET / HTTP/1.1\r\nhost: loc",
    "the body": b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab",
    "a chunk": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
async def test_half_a_request(half: bytes) -> None:
    """A client that sends half a request and waits gets 408 and is closed; others are served meanwhile."""
    async with serving(seconds=SHORT) as server, server.connection() as client:
        client.writer.write(half)
        assert await server.get() == 200
        assert_refused(await client.response(), 408, "request_timeout")
        assert await client.rest(seconds=module.LINGER_SECONDS / 2) == b""


async def test_half_a_second_request() -> None:
    """Half a request is no idleness: it gets its whole time and its 408, however short idle connections are kept."""
    async with serving(seconds=SHORT, keep_alive=SHORT / 3) as server, server.connection() as client:
        await client.ask(GET)
        assert_refused(await client.ask(HALVES["the head"]), 408, "request_timeout")


async def test_half_a_request_whose_client_left(caplog: pytest.LogCaptureFixture) -> None:
    """A client that left is not waited for."""
    caplog.set_level(logging.INFO)
    async with serving(seconds=SHORT) as server:
        async with server.connection() as client:
            client.writer.write(HALVES["the head"])
            await eventually(lambda: any(each._receiving for each in server.state.connections))
        async with server.connection() as silent:
            await silent.rest()
    assert not caplog.records


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nx: ", b"POST / HTTP/1.1\r\ncontent-length: 9999\r\n\r\n"])
async def test_one_byte_at_a_time(start: bytes) -> None:
    """Sending a byte now and then does not make the time longer."""
    async with serving(seconds=SHORT) as server, server.connection() as client:
        client.writer.write(start)

        async def drip() -> None:
            while True:
                client.writer.write(b"a")
                await asyncio.sleep(SHORT / 20)

        dripping = asyncio.create_task(drip())
        assert_refused(await client.response(), 408, "request_timeout")
        dripping.cancel()


async def test_silent_connection() -> None:
    """A connection on which nothing is ever sent is closed without a word."""
    async with serving(seconds=SHORT) as server, server.connection() as client:
        assert await client.rest() == b""


@pytest.mark.parametrize("answered", [False, True])
async def test_empty_lines_are_no_request(answered: bool) -> None:
    """Empty lines keep no connection open, neither before the first request nor after one."""
    async with serving(seconds=SHORT) as server, server.connection() as client:
        if answered:
            await client.ask(GET)
        client.writer.write(b"\r\n\r\n")
        assert await client.rest() == b""


async def test_idle_keep_alive_is_not_a_request() -> None:
    """Between two requests a connection may be idle for longer than a request may take."""
    async with serving(seconds=SHORT) as server, server.connection() as client:
        await client.ask(GET)
        await asyncio.wait([asyncio.create_task(client.reader.read(1))], timeout=SHORT * 1.5)
        assert not client.reader.at_eof()


async def test_long_answer_is_not_a_request() -> None:
    """The time is for the request to arrive; the answer may take as long as it takes."""
    go = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await go.wait()
        await respond(send, b"slow")

    async with serving(slow, seconds=SHORT) as server, server.connection() as client:
        client.writer.write(b"GET /slow HTTP/1.1\r\n\r\n")
        async with server.connection() as silent:
            await silent.rest()
        go.set()
        assert (await client.response()).body == b"slow"


async def test_refused_early_but_still_sending() -> None:
    """A client that was answered before it had sent its whole body is closed in time, and not answered twice."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"no")

    async with serving(refuse, seconds=SHORT) as server, server.connection() as client:
        assert (await client.ask(b"POST / HTTP/1.1\r\ncontent-length: 999\r\n\r\nab")).body == b"no"
        assert await client.rest() == b""


async def test_application_sees_the_disconnect() -> None:
    """An application that waits for the rest of a body is told that it will not come."""
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.set_result((await receive())["type"])

    async with serving(waits, seconds=SHORT) as server, server.connection() as client:
        assert_refused(await client.ask(HALVES["the body"]), 408, "request_timeout")
        assert await asyncio.wait_for(seen, module.LINGER_SECONDS / 2) == "http.disconnect"


async def test_back_pressure_is_not_the_clients_fault() -> None:
    """While the server itself does not read on, the client's time does not run out."""
    go = asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await go.wait()
        await echo(scope, receive, send)

    body = b"x" * 1_000_000
    async with serving(late, seconds=SHORT) as server, server.connection() as client:
        client.writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        async with server.connection() as silent:
            await silent.rest()
        go.set()
        assert len(json.loads((await client.response()).body)["body"]) == len(body)


# What is no HTTP


GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "noise": bytes(range(256)) * 10,
    "no version": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a bad name": b"GET / HTTP/1.1\r\na b: c\r\n\r\n",
    "a bad URL": b"GET http:// HTTP/1.1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
    "a length and chunks": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n",
    "a bad chunk": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage(garbage: bytes) -> None:
    """What is no HTTP gets a typed 400 and the connection ends; others are served on."""
    async with serving() as server, server.connection() as client:
        response = await client.ask(garbage)
        assert_refused(response, 400, "malformed_http")
        client.writer.write_eof()
        assert await client.rest() == b""
        assert await server.get() == 200


async def test_garbage_after_a_request() -> None:
    """Garbage never becomes part of the answer to the request before it."""
    async with serving() as server, server.connection() as client:
        await client.ask(GET)
        assert_refused(await client.ask(b"\x00garbage\r\n\r\n"), 400, "malformed_http")

    for garbage in (b"\x00garbage\r\n\r\n", GARBAGE["a bad chunk"]):
        async with serving(never) as server, server.connection() as client:
            client.writer.write(GET + garbage)
            assert await client.rest() == b""


async def test_the_clients_own_request_id() -> None:
    """A refusal carries the id the client sent, where that has arrived."""
    async with serving(seconds=SHORT) as server, server.connection() as client:
        half = b"POST / HTTP/1.1\r\nx-request-id: mine-1\r\ncontent-length: 5\r\n\r\n"
        response = await client.ask(half)
        assert response.headers["x-request-id"] == response.error["request_id"] == "mine-1"


async def test_the_id_a_request_already_has() -> None:
    """A request that is under way is refused under the id that the log has for it."""

    async def known(scope: Any, receive: Any, send: Any) -> None:
        scope["tidegate.request_id"] = "req_known"
        await echo(scope, receive, send)

    async with serving(known, seconds=SHORT) as server, server.connection() as client:
        assert (await client.ask(HALVES["the body"])).headers["x-request-id"] == "req_known"


HUGE = b"x" * 30_000_000


async def test_clients_that_send_all_before_they_read() -> None:
    """A refused client that insists on sending everything first can, and finds its answer after that."""

    def insist(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nx: " + HUGE)
            return client.recv(12)

    async with serving() as server:
        assert await asyncio.to_thread(insist, server.port) == b"HTTP/1.1 431"


async def test_refused_under_back_pressure() -> None:
    """A client that was held back is let go on once it is refused, so that it comes to read why."""
    bad = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n20000\r\n" + b"x" * 0x20000 + b"\r\nzz"
    async with serving(never) as server, server.connection() as client:
        await eventually(lambda: server.state.connections)
        (protocol,) = server.state.connections
        protocol.data_received(bad)
        assert_refused(await client.response(), 400, "malformed_http")
        client.writer.write(HUGE)
        await client.writer.drain()


async def test_refused_client_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused client that neither reads nor leaves is cut off."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    async with serving() as server, server.connection() as client:
        assert_refused(await client.ask(GARBAGE["noise"]), 400, "malformed_http")
        await eventually(lambda: client.writer.write(b"a") or not server.state.connections)


# Answers that break


async def test_aborted_answer(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that broke does not end like a whole one, and is not logged a second time."""

    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise ResponseAborted

    async with serving(breaks) as server, server.connection() as client:
        client.writer.write(GET)
        assert (await client.rest()).endswith(b"\r\n\r\n6\r\nso far\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_stopped_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A request that is cancelled, as when the server must stop, closes its connection in silence."""
    async with serving(never) as server, server.connection() as client:
        client.writer.write(GET)
        await eventually(lambda: server.state.tasks)
        for task in server.state.tasks:
            task.cancel()
        assert await client.rest() == b""
    assert not caplog.records


async def test_shutdown_while_lingering() -> None:
    """A server that stops does not wait for refused clients."""
    async with serving() as server, server.connection() as client:
        assert_refused(await client.ask(GARBAGE["noise"]), 400, "malformed_http")
        for connection in list(server.state.connections):
            connection.shutdown()
        await eventually(lambda: not server.state.connections, within=module.LINGER_SECONDS / 2)
