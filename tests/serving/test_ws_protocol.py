"""The product's WebSocket protocol in the running loop, on both event loops it runs on."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from eventually_kit import eventually
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tidegate.core.connection import ResponseAborted
from tidegate.core.ws_frame import TEXT, frame
from tidegate.serving import ws_protocol as module
from tidegate.serving.traffic import Traffic
from tidegate.serving.ws_heart import HeartRates, Liveness
from tidegate.serving.ws_protocol import SocketProtocol, ws_protocol
from tidegate.serving.ws_wire import SocketWire, socket_wire_of
from tidegate.testing.echo import echo
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

DEADLINE = 10.0
App = Callable[[Any, Any, Any], Awaitable[None]]

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Room:
    """What the application on the server's side has seen: of one socket."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self.received: list[dict[str, Any]] = []
        self.accepted = asyncio.Event()
        self.ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.send: Any = None
        self.go_on = asyncio.Event()

    @property
    def wire(self) -> SocketWire:
        wire = socket_wire_of(self.scope)
        assert wire is not None
        return wire

    @property
    def code(self) -> int:
        return self.received[-1]["code"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Accepts, and receives once it may."""
        self.scope, self.send = scope, send
        try:
            await receive()
            await send({"type": "websocket.accept"})
            self.accepted.set()
            await self.go_on.wait()
            while (message := await receive())["type"] == "websocket.receive":
                self.received.append(message)
            self.received.append(message)
        except BaseException as error:
            self.ended.set_result(error)
            raise
        self.ended.set_result(None)

    async def over(self) -> BaseException | None:
        return await asyncio.wait_for(asyncio.shield(self.ended), DEADLINE)


@asynccontextmanager
async def socket(app: App, *, ws: type[SocketProtocol] = SocketProtocol, **how: Any) -> AsyncIterator[ClientConnection]:
    """A well-behaved client at an application."""
    async with serving(app, ws=ws) as url, connect(ws_url(url), ping_interval=None, compression=None, **how) as client:
        yield client


@asynccontextmanager
async def raw(app: App, *, ws: type[SocketProtocol] = SocketProtocol) -> AsyncIterator[Streams]:
    """A client that only does what it is told: after its handshake it reads nothing, and answers nothing."""
    async with serving(app, ws=ws) as url:
        streams = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        streams[1].write(HANDSHAKE)
        await streams[0].readuntil(b"\r\n\r\n")
        try:
            yield streams
        finally:
            streams[1].close()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def ws_url(url: str) -> str:
    return "ws" + url.removeprefix("http")


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame; its mask is all zeros."""
    plain = frame(opcode, payload)
    head = len(plain) - len(payload)
    return plain[:1] + bytes([plain[1] | 0x80]) + plain[2:head] + bytes(4) + payload


async def closes(client: ClientConnection) -> int | None:
    """The code that the server closes with."""
    try:
        await asyncio.wait_for(client.recv(), DEADLINE)
    except ConnectionClosed as error:
        return None if error.rcvd is None else error.rcvd.code
    raise AssertionError("a message came")


async def accept_and(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


# Messages


async def talk(scope: Any, receive: Any, send: Any) -> None:
    await echo(receive, send)


async def test_messages_are_text_or_bytes() -> None:
    """As the client sent them."""
    async with socket(talk) as client:
        await client.send("wörter")
        await client.send(b"\xff\x00")
        assert [await client.recv(), await client.recv()] == ["wörter", b"\xff\x00"]


async def test_the_limit_is_on_messages() -> None:
    """One of just that size passes, a larger one is 1009, in the log a line without a traceback."""
    async with socket(talk, ws=ws_protocol(max_message_bytes=1000)) as client:
        await client.send("x" * 1000)
        assert await client.recv() == "x" * 1000
        await client.send("x" * 1001)
        assert await closes(client) == 1009


async def test_what_a_client_does_wrong_is_no_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """It leaves nothing in the log above `info`, and no traceback."""
    caplog.set_level(logging.DEBUG)
    for sent in (b"\xff\xff", masked(TEXT, b"\xff"), frame(TEXT, b"unmasked")):
        async with raw(talk) as (reader, writer):
            writer.write(sent)
            await asyncio.wait_for(reader.read(), DEADLINE)
    ours = [record for record in caplog.records if record.name.startswith(("tidegate", "uvicorn", "websockets.server"))]
    assert {record.levelno for record in ours if record.exc_info or record.levelno > logging.INFO} == set()


async def test_paths_and_queries_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """They may hold tokens."""
    caplog.set_level(logging.DEBUG, logger="tidegate")
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    async with serving(talk) as url, connect(ws_url(url) + "/room?access_token=secret") as client:
        await client.send("a")
        await client.recv()
    served = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.client")]
    assert not [line for line in served if "secret" in line or "/room" in line]


async def test_a_client_is_read_no_faster_than_it_is_received() -> None:
    """While a message waits for the application, what the client sends stays in its own buffers."""
    room = Room()
    async with raw(room, ws=ws_protocol(max_message_bytes=1 << 20)) as (_, writer):
        await room.accepted.wait()
        writer.transport.set_write_buffer_limits(high=0)
        message = masked(TEXT, b"x" * 65536)
        sent = 0

        async def send_on() -> None:
            nonlocal sent
            while True:
                sent += 1
                writer.write(message)
                await writer.drain()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_on(), 0.3)
        room.go_on.set()
        async with asyncio.timeout(DEADLINE):
            await writer.drain()
            writer.write(masked(0x8, struct.pack("!H", 1000)))
            await room.over()
        assert len(room.received) == sent + 1
        assert {len(each["text"]) for each in room.received[:-1]} == {65536}


async def test_a_flood_leaves_others_their_turn() -> None:
    """Thousands of messages in one read are parsed in slices, and each of them is received."""
    room = Room()
    async with raw(room) as (_, writer):
        await room.accepted.wait()
        steps: list[int] = []

        async def count() -> None:
            seen = 0
            while True:
                await asyncio.sleep(0)
                steps.append(len(room.received) - seen)
                seen = len(room.received)

        counting = asyncio.ensure_future(count())
        room.go_on.set()
        writer.write(masked(TEXT, b"") * 40_000 + masked(0x8, b""))
        await room.over()
        counting.cancel()
        assert len(room.received) == 40_001
        assert max(steps) <= 3000


async def test_compression_is_not_agreed_to() -> None:
    """A client that offers it goes on without (RFC 7692, 5): what is sent is the same for all."""
    async with serving(talk) as url, connect(ws_url(url), compression="deflate") as client:
        assert client.response is not None
        assert "sec-websocket-extensions" not in client.response.headers
        await client.send("x" * 1000)
        assert await client.recv() == "x" * 1000


# The handshake


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})


async def deny(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-a", b"b")]})
    await send({"type": "websocket.http.response.body", "body": b"none"})


async def fail(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("a bug")


async def forget(scope: Any, receive: Any, send: Any) -> None:
    await receive()


@pytest.mark.parametrize(("app", "status", "code"), [(refuse, 403, "missing_scope"), (forget, 500, "internal_error")])
async def test_who_is_not_accepted_gets_a_typed_error(app: App, status: int, code: str) -> None:
    """Over HTTP, with the request id that was sent."""
    async with serving(app) as url:
        with pytest.raises(InvalidStatus) as refused:
            await connect(ws_url(url), additional_headers={"x-request-id": "abc"})
    response = refused.value.response
    assert (response.status_code, json.loads(response.body or b"")["error"]["code"]) == (status, code)
    assert response.headers["x-request-id"] == "abc"


async def test_an_application_may_answer_for_itself() -> None:
    """As the ASGI extension `websocket.http.response` has it."""
    async with serving(deny) as url:
        with pytest.raises(InvalidStatus) as refused:
            await connect(ws_url(url))
    response = refused.value.response
    assert (response.status_code, response.body, response.headers["x-a"]) == (404, b"none", "b")


async def test_a_bug_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With 500 before the handshake is done, with 1011 after it."""
    async with serving(fail) as url:
        with pytest.raises(InvalidStatus) as refused:
            await connect(ws_url(url))
    assert refused.value.response.status_code == 500

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await accept_and(scope, receive, send)
        raise ValueError("a bug")

    async with socket(later) as client:
        assert await closes(client) == 1011
    assert [record.getMessage() for record in caplog.records] == ["the application failed on a WebSocket"] * 2


async def test_a_failure_that_was_observed_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """The gate has told the observer of it."""

    async def observed(scope: Any, receive: Any, send: Any) -> None:
        await accept_and(scope, receive, send)
        raise ResponseAborted

    async with socket(observed) as client:
        assert await closes(client) == 1011
    assert not caplog.records


async def test_a_socket_comes_after_other_requests() -> None:
    """A connection that was kept alive may become one."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    async with serving(both) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(HANDSHAKE + masked(TEXT, b"early"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(7) == frame(TEXT, b"early")
        writer.close()


# How it ends


async def test_the_application_closes_with_its_code() -> None:
    """And gets no error for what the client sends meanwhile."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept_and(scope, receive, send)
        await send({"type": "websocket.close", "code": 4401, "reason": "token"})

    async with socket(app) as client:
        assert await closes(client) == 4401
        assert client.close_reason == "token"


async def test_an_application_that_ends_closes_its_socket() -> None:
    """With 1000."""
    async with socket(accept_and) as client:
        assert await closes(client) == 1000


async def test_a_server_that_stops_says_come_back() -> None:
    """1001, to those that are connected."""
    room = Room()
    room.go_on.set()
    async with serving(room) as url:
        client = await connect(ws_url(url))
        await room.accepted.wait()
        protocol = protocol_of(room)
        protocol.shutdown()
        assert await closes(client) == 1001
        assert await room.over() is None
        assert room.code == 1001
        assert room.wire.gone


def protocol_of(room: Room) -> SocketProtocol:
    """What `send` belongs to."""
    return room.send.__self__


async def test_departures_are_seen() -> None:
    """With or without a close frame, the application and the wire know at once."""
    for leave, code in ((masked(0x8, struct.pack("!H", 1001)), 1001), (b"", 1005)):
        room = Room()
        room.go_on.set()
        async with raw(room) as (_, writer):
            await room.accepted.wait()
            told: list[bool] = []
            room.wire.lane().watch(1000, lambda room=room, told=told: told.append(room.wire.gone), lambda: None)
            writer.write(leave)
            if not leave:
                writer.close()
            assert await room.over() is None
            assert room.code == code
            assert told[0] is True


async def test_sending_to_who_has_left_is_an_os_error() -> None:
    """As the ASGI specification has it, and nothing is logged."""
    room = Room()
    async with raw(room) as (reader, writer):
        await room.accepted.wait()
        writer.write(b"\xff\xff")
        await asyncio.wait_for(reader.read(), DEADLINE)
        with pytest.raises(OSError):  # noqa: PT011
            await room.send({"type": "websocket.send", "text": "late"})


async def test_nothing_follows_a_close_frame() -> None:
    """From then on the wire says `gone`, and what is written to it all the same raises."""
    room = Room()
    async with raw(room) as (reader, _):
        await room.accepted.wait()
        await room.send({"type": "websocket.close", "code": 4400})
        assert room.wire.gone
        with pytest.raises(RuntimeError):
            room.wire.write(frame(TEXT, b"late"))
        assert await asyncio.wait_for(reader.read(), DEADLINE) == frame(0x8, struct.pack("!H", 4400))
        room.go_on.set()


async def test_a_close_that_is_not_answered_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read, and one that does not close its side, are cut off after a while."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)
    room = Room()
    async with raw(room) as (reader, _):
        await room.accepted.wait()
        protocol = protocol_of(room)
        room.wire.write(frame(TEXT, b"x" * 50_000_000))
        protocol._close(1000)
        room.go_on.set()
        await eventually(lambda: protocol not in protocol.connections)
        reader.feed_eof()


# The heart

FAST = HeartRates(ping_seconds=0.05, idle_seconds=0.1, probe_seconds=0.05, probes=2)


async def test_a_peer_that_vanished_is_closed() -> None:
    """One that answers no ping gets probes, then 4408; its states are told as they change."""
    room = Room()
    room.go_on.set()
    async with raw(room, ws=ws_protocol(rates=FAST)) as (reader, _):
        await room.accepted.wait()
        states: list[Liveness] = []
        room.wire.on_liveness(states.append)
        received = await asyncio.wait_for(reader.read(), DEADLINE)
        assert received.endswith(frame(0x8, struct.pack("!H", 4408) + b"heartbeat lost"))
        assert received.count(frame(0x9, b"")) >= FAST.probes
        assert states[-1] is Liveness.PROBING
        assert await room.over() is None
        assert room.code == 4408


async def test_a_peer_that_answers_pings_stays() -> None:
    """It is idle as long as it says nothing, and active again with its first message."""
    room = Room()
    room.go_on.set()
    async with raw(room, ws=ws_protocol(rates=FAST)) as (reader, writer):
        await room.accepted.wait()
        states: list[Liveness] = []
        room.wire.on_liveness(states.append)
        answered = 0
        while answered <= 2 * FAST.probes or Liveness.IDLE not in states:
            assert await asyncio.wait_for(reader.readexactly(2), DEADLINE) == frame(0x9, b"")
            writer.write(masked(0xA, b""))
            answered += 1
        writer.write(masked(TEXT, b"here"))
        await eventually(lambda: room.received)
        assert Liveness.ACTIVE in states[states.index(Liveness.IDLE) :]
        assert not room.wire.gone


async def test_who_is_not_listened_to_is_not_silent() -> None:
    """An application that does not receive is no reason to give its client up."""
    room, other = Room(), Room()
    other.go_on.set()
    async with socket(room, ws=ws_protocol(rates=FAST)) as client:
        await room.accepted.wait()
        await client.send("waits")
        async with raw(other, ws=ws_protocol(rates=FAST)):
            await other.over()
        assert other.code == 4408
        assert not room.wire.gone
        room.go_on.set()
        await client.close()
        await room.over()


# The wire


async def test_frames_go_out_beside_asgis() -> None:
    """What is written straight and what is sent arrive in their order."""
    room = Room()
    room.go_on.set()
    async with socket(room) as client:
        await room.accepted.wait()
        room.wire.write(frame(TEXT, b"one"))
        await room.send({"type": "websocket.send", "text": "two"})
        room.wire.lane().write(frame(TEXT, b"three"))
        assert [await client.recv() for _ in range(3)] == ["one", "two", "three"]


async def test_a_slow_socket_says_so() -> None:
    """Past the limit it is full, for every lane; when it has drained they are told."""
    room = Room()
    room.go_on.set()
    async with raw(room, ws=ws_protocol(send_buffer_bytes=1000)) as (reader, _):
        await room.accepted.wait()
        lane = room.wire.lane()
        changes: list[bool] = []
        lane.watch(1000, lambda: changes.append(lane.full), lambda: None)
        size = 20_000_000
        lane.write(frame(TEXT, b"x" * size))
        await eventually(lambda: lane.full)
        await asyncio.wait_for(reader.readexactly(10 + size), DEADLINE)
        await eventually(lambda: not lane.full)
        assert changes == [True, False]


async def test_traffic_is_counted() -> None:
    """Both ways, by the kernel; of a closed connection there is none."""
    room = Room()
    room.go_on.set()
    async with socket(room) as client:
        await room.accepted.wait()
        before = room.wire.traffic()
        assert before is not None
        await client.send("x" * 1000)
        room.wire.write(frame(TEXT, b"y" * 2000))
        await client.recv()
        await eventually(lambda: room.received)
        # The client's kernel may take its time to acknowledge what it has.
        await eventually(lambda: has_grown(room.wire, before, sent=2000, received=1000))
    assert room.wire.traffic() is None


def has_grown(wire: SocketWire, before: Traffic, *, sent: int, received: int) -> bool:
    now = wire.traffic()
    return now is not None and now.sent - before.sent >= sent and now.received - before.received >= received


async def test_without_the_wire_there_is_asgi() -> None:
    """As under another server; its other extensions stay."""
    room = Room()
    room.go_on.set()
    async with serving(room, wire=False) as url, connect(ws_url(url)):
        await room.accepted.wait()
        assert socket_wire_of(room.scope) is None
        assert "websocket.http.response" in room.scope["extensions"]
