from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from room_kit import unread

from tidegate.core.events import Delta
from tidegate.core.log import Entry
from tidegate.delivery.direct_delivery import STALLED_BEATS, Delivery
from tidegate.dialects.native_events import EVENTS
from tidegate.serving.wire import Wire
from tidegate.serving.ws_wire import Lane, SocketWire

pytestmark = pytest.mark.anyio


class Transport:
    """A connection that refuses what uvloop's refuses: anything, once it closes."""

    def __init__(self) -> None:
        self.closing = False
        self.aborted = asyncio.Event()
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True
        self.aborted.set()

    def set_write_buffer_limits(self, high: int) -> None:
        self._refuse()

    def write(self, data: bytes) -> None:
        self._refuse()
        self.written.append(data)

    def _refuse(self) -> None:
        if self.closing:
            raise RuntimeError("unable to perform operation; the handler is closed")


class ReaderPort:
    """A reader with one delta at a time."""

    stream = "gen_1"

    def __init__(self) -> None:
        self.left = False
        self.at_end = self.more = self.behind = self.mergeable = False
        self.wake: Any = None
        self.waiting: list[list[Entry]] = []

    def on_news(self, wake: Any) -> None:
        self.wake = wake

    def take(self, now: float) -> Any:
        return self.waiting.pop(0) if self.waiting else None

    def fall_behind(self) -> None:
        self.behind = True

    def deadline(self) -> float:
        return float("inf")

    async def next(self, silence: float) -> Any:
        raise AssertionError("a direct delivery does not wait")

    def close(self) -> None:
        self.left = True


def delivery(transport: Transport, reader: ReaderPort) -> Delivery:
    return Delivery(Wire(transport), reader, EVENTS, None, None, None, limit=100, heartbeat_seconds=15, meter=unread())  # type: ignore[arg-type]


async def test_a_client_that_left_before_the_first_byte_is_over_at_once() -> None:
    """A connection that closes while its request is being answered is nobody's failure."""
    transport, reader = Transport(), ReaderPort()
    transport.closing = True
    gone = delivery(transport, reader)
    gone.begin(b"hello")
    assert gone.over.done()
    assert gone.over.exception() is None
    gone.stop()


async def test_a_connection_that_closes_disturbs_no_append() -> None:
    """A write that fails within a wake-up ends this delivery, and never reaches whoever appended."""
    transport, reader = Transport(), ReaderPort()
    closing = delivery(transport, reader)
    closing.begin(b"hello")
    transport.closing = True
    reader.waiting.append([Entry.of("aaaa", 1, Delta("x"))])
    reader.wake()
    assert closing.over.done()
    assert closing.over.exception() is None
    closing.stop()


async def test_a_stalled_client_costs_a_look_per_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that takes nothing is not asked again and again."""
    looks: list[float] = []
    beat, seconds = Delivery._beat, 0.02

    def noted(self: Delivery) -> None:
        looks.append(asyncio.get_running_loop().time())
        beat(self)

    monkeypatch.setattr(Delivery, "_beat", noted)
    transport, reader = Transport(), ReaderPort()
    wire = Wire(transport)  # type: ignore[arg-type]
    slow = Delivery(wire, reader, EVENTS, None, None, None, limit=100, heartbeat_seconds=seconds, meter=unread())
    slow.begin(b"hello")
    slow._wire.changed(full=True)
    await asyncio.wait_for(transport.aborted.wait(), 5)
    # The first look is a heartbeat after the beginning, at which nothing was written yet.
    due = [at for at in looks if at >= slow.last_write + seconds]
    assert len(due) == STALLED_BEATS
    assert len(looks) <= STALLED_BEATS + 1
    assert all(later - earlier > 0.99 * seconds for earlier, later in pairwise(due))
    assert len(transport.written) == 1
    slow.stop()


async def test_a_client_that_never_reads_again_is_let_go() -> None:
    """After some heartbeats that it could not take, a connection is broken; one that drains in between is not."""
    transport, reader = Transport(), ReaderPort()
    slow = Delivery(
        Wire(transport), reader, EVENTS, None, None, None, limit=100, heartbeat_seconds=0.02, meter=unread()
    )  # type: ignore[arg-type]
    slow.begin(b"hello")
    slow._wire.changed(full=True)
    await asyncio.wait_for(transport.aborted.wait(), 5)
    slow._wire.changed(gone=True)
    assert slow.over.done()
    slow.stop()


async def test_a_full_connection_is_left_alone_until_it_drains() -> None:
    """Nothing is written past the limit; after the drain what was missed is asked for, merged."""
    transport, reader = Transport(), ReaderPort()
    slow = delivery(transport, reader)
    slow.begin(b"hello")
    wire = slow._wire
    wire.changed(full=True)
    reader.waiting.append([Entry.of("aaaa", 1, Delta("x"))])
    reader.wake()
    assert (len(transport.written), reader.behind) == (1, True)
    wire.changed(full=False)
    assert len(transport.written) == 2
    slow.stop()


async def test_an_end_that_fills_the_connection_reaches_nobody_else() -> None:
    """The transport says that it is full from within the write that brings the end: the append goes on undisturbed."""
    transport, reader = Transport(), ReaderPort()
    ending = delivery(transport, reader)
    ending.begin(b"hello")
    write = transport.write

    def write_and_fill(data: bytes) -> None:
        write(data)
        ending._wire.changed(full=True)

    ending._wire.write = write_and_fill
    reader.waiting.append([Entry.of("aaaa", 1, Delta("x"))])
    take = reader.take

    def take_the_end(now: float) -> Any:
        reader.at_end = True
        return take(now)

    reader.take = take_the_end  # type: ignore[method-assign]
    reader.wake()
    assert ending.over.done()
    assert ending.over.exception() is None
    ending.stop()


class Frames:
    """A dialect for a WebSocket: what it gives is whole, and silence is the protocol's business."""

    preamble = heartbeat = b""

    def encode(self, state: None, entries: Any, *, merge: bool) -> bytes:
        return b"<%d>" % len(entries)


def laned(lane: Lane, reader: ReaderPort, *, heartbeat_seconds: float = 15) -> Delivery:
    return Delivery(
        lane, reader, Frames(), None, None, None, limit=100, heartbeat_seconds=heartbeat_seconds, meter=unread()
    )  # type: ignore[arg-type]


async def test_a_lane_carries_its_bodies_as_they_are() -> None:
    """Many streams share one socket: each writes its frames, and what concerns the socket concerns all of them."""
    transport, one, other = Transport(), ReaderPort(), ReaderPort()
    socket = SocketWire(transport, transport)  # type: ignore[arg-type]
    deliveries = [laned(socket.lane(), reader) for reader in (one, other)]
    for each in deliveries:
        each.begin(b"")
    one.waiting.append([Entry.of("aaaa", 1, Delta("x"))])
    one.wake()
    assert transport.written == [b"<1>"]
    socket.changed(full=True)
    assert (one.behind, other.behind) == (True, True)
    socket.changed(full=False)
    deliveries[0].stop()
    socket.changed(gone=True)
    assert [each.over.done() for each in deliveries] == [False, True]
    deliveries[1].stop()
    assert not socket._lanes


async def test_a_lane_has_no_heartbeat_but_is_let_go_when_it_stalls() -> None:
    """Nothing is written in silence; a socket that takes nothing is broken all the same."""
    transport, reader = Transport(), ReaderPort()
    socket = SocketWire(transport, transport)  # type: ignore[arg-type]
    quiet = laned(socket.lane(), reader, heartbeat_seconds=0.02)
    quiet.begin(b"")
    await stalls()
    assert not transport.aborted.is_set()
    socket.changed(full=True)
    await asyncio.wait_for(transport.aborted.wait(), 5)
    assert transport.written == []
    quiet.stop()


async def stalls() -> None:
    """Another socket takes nothing, until it is broken for that."""
    transport = Transport()
    socket = SocketWire(transport, transport)  # type: ignore[arg-type]
    slow = laned(socket.lane(), ReaderPort(), heartbeat_seconds=0.02)
    slow.begin(b"")
    socket.changed(full=True)
    await asyncio.wait_for(transport.aborted.wait(), 5)
    slow.stop()


async def test_a_lane_whose_client_reads_another_one_is_kept() -> None:
    """A client that takes what another stream of its socket sends has not stalled, however long that is in front."""
    transport, reader = Transport(), ReaderPort()
    socket = SocketWire(transport, transport)  # type: ignore[arg-type]
    behind = laned(socket.lane(), reader, heartbeat_seconds=1000)
    behind.begin(b"")
    socket.full = True
    for _ in range(3 * STALLED_BEATS):
        socket.drains += 1
        behind.last_write = float("-inf")
        behind._beat()
    assert not transport.aborted.is_set()
    for _ in range(STALLED_BEATS):
        behind.last_write = float("-inf")
        behind._beat()
    assert transport.aborted.is_set()
    behind.stop()
