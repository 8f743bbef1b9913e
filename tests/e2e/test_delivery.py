"""Delivery over both ways to a client: straight to the connection, and through ASGI's `send`."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from api_kit import Answer, call, fetch
from eventually_kit import eventually

from tidegate import Tidegate
from tidegate.config import DeliverySettings, Settings
from tidegate.core.sse import Decoder, ServerSentEvent
from tidegate.providers.settings import PythonModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

PIECE = "0123456789" * 20
PIECES = 20_000
BEAT = b": heartbeat\n\n"


class Tap:
    """A model that says what the test lets it say."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()

    async def answer(self, request: Any) -> AsyncIterator[str]:
        while (piece := await self.pieces.get()) is not None:
            yield piece


@pytest.fixture(params=["direct", "fallback"])
def wire(request: pytest.FixtureRequest) -> bool:
    return request.param == "direct"


@asynccontextmanager
async def tapped(*, wire: bool, **delivery: Any) -> AsyncIterator[tuple[Tap, str]]:
    """A stream whose text the test decides, and its URL."""
    tap = Tap()
    settings = Settings(models=(PythonModel(name="tap", target=tap.answer),), delivery=DeliverySettings(**delivery))
    app = Tidegate(settings)
    async with serving(app, wire=wire) as url:
        _, headers, _ = await fetch(f"{url}/v1/streams", "POST", {"model": "tap", "prompt": "x", "background": True})
        yield tap, url + headers["location"]
        await app.close()


def text_of(events: list[ServerSentEvent]) -> str:
    return "".join(json.loads(event.data)["text"] for event in events if event.event == "delta")


async def read_until(answer: Answer, chunks: AsyncIterator[bytes], text: str) -> None:
    """Reads until the text has been seen."""
    seen: list[ServerSentEvent] = []
    async with asyncio.timeout(10):
        while text not in text_of(seen):
            seen += answer.decoder.feed(await anext(chunks))


async def read_all(connection: socket.socket) -> list[ServerSentEvent]:
    loop = asyncio.get_running_loop()
    raw = bytearray()
    async with asyncio.timeout(30):
        while not raw.endswith(b"\r\n0\r\n\r\n"):
            received = await loop.sock_recv(connection, 1 << 20)
            assert received, "the connection broke"
            raw += received
    _, _, body = bytes(raw).partition(b"\r\n\r\n")
    decoder, events = Decoder(), []
    while body:
        size, _, body = body.partition(b"\r\n")
        events += decoder.feed(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return events


async def stalled(url: str) -> socket.socket:
    """A reader that has asked for the events and reads nothing, with a small window."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (name, int(port)))
    await loop.sock_sendall(connection, f"GET /{path}/events HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    return connection


async def test_an_event_arrives_while_the_next_is_awaited(wire: bool) -> None:
    """Nothing waits for more: each piece is at the reader before the model says the next."""
    async with tapped(wire=wire) as (tap, stream), call(f"{stream}/events") as answer:
        chunks = answer.chunks()
        for piece in ("one", "two", "three"):
            tap.pieces.put_nowait(piece)
            await read_until(answer, chunks, piece)


async def test_a_stalled_reader_delays_nobody_and_misses_nothing(wire: bool) -> None:
    """Four megabytes pass a reader that does not read; the other has them at once, and it has them afterwards."""
    async with tapped(wire=wire, send_buffer_bytes=16_384) as (tap, stream):
        slow = await stalled(stream)
        async with call(f"{stream}/events") as answer:
            chunks = answer.chunks()
            seen: list[ServerSentEvent] = []
            for number in range(PIECES):
                tap.pieces.put_nowait(f"{number} {PIECE}")
            tap.pieces.put_nowait("all")
            async with asyncio.timeout(20):
                while not text_of(seen[-1:]).endswith("all"):
                    seen += answer.decoder.feed(await anext(chunks))
        tap.pieces.put_nowait(None)
        events = await read_all(slow)
        slow.close()
        _, _, snapshot = await fetch(stream)
    assert text_of(events) == text_of(seen) == snapshot["text"]
    assert events[-1].event == "completed"
    offsets = [int(event.id.split("-")[1]) for event in events]
    assert offsets == sorted(set(offsets))
    assert len(events) < PIECES, "a reader that fell behind catches up in merged pieces"


@pytest.mark.parametrize("path", ["/events", "/events?events=message"])
async def test_compressed_events_arrive_one_by_one(wire: bool, path: str) -> None:
    """To who asks for gzip each event is sent compressed at once, late joiners and heartbeats notwithstanding."""
    gzip = {"accept-encoding": "gzip, deflate"}
    async with tapped(wire=wire, heartbeat_seconds=0.03) as (tap, stream), AsyncExitStack() as readers:
        first, second = [await readers.enter_async_context(call(stream + path, headers=gzip)) for _ in range(2)]
        assert first.headers["content-encoding"] == "gzip"
        assert first.headers["vary"] == "accept-encoding"
        opened = [(answer.chunks(), zlib.decompressobj(31), bytearray()) for answer in (first, second)]
        for number in range(8):
            tap.pieces.put_nowait(f"piece-{number}-{PIECE}")
            for chunks, decompressor, seen in opened:
                async with asyncio.timeout(5):
                    while f"piece-{number}-".encode() not in seen or (number == 3 and not seen.endswith(BEAT)):
                        seen += decompressor.decompress(await anext(chunks))
            if number == 5:
                late = await readers.enter_async_context(call(stream + path, headers=gzip))
                opened.append((late.chunks(), zlib.decompressobj(31), bytearray()))
        tap.pieces.put_nowait(None)
        for chunks, decompressor, seen in opened:
            async for chunk in chunks:
                seen += decompressor.decompress(chunk)
            assert decompressor.eof
            assert all(f"piece-{number}-".encode() in seen for number in range(8))


async def test_who_does_not_ask_is_not_sent_gzip(wire: bool) -> None:
    """Without `accept-encoding`, or with compression off, events are sent as they are."""
    for delivery, headers in (({}, {}), ({"compression": False}, {"accept-encoding": "gzip"})):
        async with tapped(wire=wire, **delivery) as (_, stream), call(f"{stream}/events", headers=headers) as answer:
            assert "content-encoding" not in answer.headers
            assert (await anext(answer.chunks())).startswith(b"retry: 1000")


async def test_a_batch_is_delivered_when_it_is_late(wire: bool) -> None:
    """The delay holds when the model pauses: what waits goes out after `batch_max_delay_ms`, as one event."""
    async with tapped(wire=wire, batch_max_tokens=100, batch_max_delay_ms=50) as (tap, stream):
        async with call(f"{stream}/events") as answer:
            for piece in ("a", "b", "c"):
                tap.pieces.put_nowait(piece)
            seen: list[ServerSentEvent] = []
            async with asyncio.timeout(5):
                chunks = answer.chunks()
                while text_of(seen) != "abc":
                    seen += answer.decoder.feed(await anext(chunks))
        assert len([event for event in seen if event.event == "delta"]) < 3


async def test_an_old_connection_is_told_to_come_back(wire: bool) -> None:
    """Past `max_connection_seconds` a reader gets `reconnect`, and goes on where it was; nothing is cancelled."""
    async with tapped(wire=wire, max_connection_seconds=0.05) as (tap, stream):
        tap.pieces.put_nowait("one")
        async with asyncio.timeout(5), call(f"{stream}/events") as answer:
            events = [event async for event in answer.events()]
        told = json.loads(events[-1].data)
        assert (events[-1].event, told["reason"]) == ("reconnect", "age")
        assert 500 <= told["after_ms"] == answer.decoder.retry_ms <= 3000
        tap.pieces.put_nowait("two")
        async with asyncio.timeout(5), call(f"{stream}/events", headers={"last-event-id": events[-1].id}) as answer:
            assert text_of([event async for event in answer.events()]) == "two"


async def test_a_connection_is_reused_after_a_stream_has_ended(wire: bool) -> None:
    """A stream ends cleanly: the same connection carries the next request."""
    async with tapped(wire=wire) as (tap, stream):
        tap.pieces.put_nowait("x")
        tap.pieces.put_nowait(None)
        connection = await stalled(stream)
        first = await read_all(connection)
        host, _, path = stream.removeprefix("http://").partition("/")
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, f"GET /{path}/events HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert [event.id for event in await read_all(connection)] == [event.id for event in first]
        connection.close()


async def test_readers_that_vanish_leave_nothing_behind(wire: bool) -> None:
    """A hundred readers that come and break off are a hundred readers less."""
    tap = Tap()
    app = Tidegate(Settings(models=(PythonModel(name="tap", target=tap.answer),)))
    async with serving(app, wire=wire) as url:
        _, headers, _ = await fetch(f"{url}/v1/streams", "POST", {"model": "tap", "prompt": "x", "background": True})
        for _ in range(100):
            async with call(f"{url}{headers['location']}/events") as answer:
                await anext(answer.chunks())
        await eventually(lambda: not app.service.readers.attached)
        await app.close()
