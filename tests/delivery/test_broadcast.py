from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Sequence

import pytest
from room_kit import EACH, Room, Slow, Transport, unchunked

from tidegate.core.batching import BatchPolicy
from tidegate.core.events import Completed, Delta, Usage
from tidegate.core.log import Entry
from tidegate.delivery.compression import Gzip
from tidegate.delivery.direct_delivery import Delivery
from tidegate.dialects.native_events import EVENTS
from tidegate.dialects.native_socket import CODECS
from tidegate.dialects.native_socket_events import SocketEvents
from tidegate.errors import StreamNotFound
from tidegate.serving.wire import Wire
from tidegate.serving.ws_wire import SocketWire

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))


async def test_all_at_the_tail_are_sent_the_same_object() -> None:
    """An event is encoded and framed once, however many read it, and the log has one watcher for all of them."""
    room = await Room().open()
    transports = [room.attach()[1] for _ in range(3)]
    room.append(Delta("x"))
    assert len({id(transport.written[-1]) for transport in transports}) == 1
    assert room.watchers == 1


async def test_who_reads_alone_is_served_by_its_own_reader() -> None:
    """One reader needs no broadcast; a second one makes it, and the first comes along where it stands."""
    room = await Room().open()
    first, transport = room.attach()
    room.append(Delta("a"))
    assert (room.watchers, first.reader.at, room.broadcast._lead) == (1, first.reader.position, None)
    second, other = room.attach()
    assert room.broadcast._lead is not None
    room.append(Delta("b"))
    assert transport.written[-1] is other.written[-1]
    assert room.watchers == 1
    second.stop()
    room.append(Delta("c"))
    assert '"c"' in transport.text


async def test_a_first_reader_that_is_full_comes_along_later() -> None:
    """Who cannot be written to when the second reader comes misses nothing, and joins once it has caught up."""
    room = await Room().open()
    first, transport = room.attach()
    first._wire.changed(full=True)
    _, other = room.attach()
    room.append(Delta("a"))
    first._wire.changed(full=False)
    room.append(Delta("b"))
    _, third = room.attach()
    room.append(Delta("c"))
    assert transport.written[-1] is other.written[-1] is third.written[-1]
    assert [transport.text.count(f'"{text}"') for text in "abc"] == [1, 1, 1]


async def test_one_that_is_full_leaves_and_catches_up_merged() -> None:
    """It misses nothing, the others wait for nothing, and it is back among them afterwards."""
    room = await Room().open()
    (slow, slow_transport), (_, other) = room.attach(), room.attach()
    slow._wire.changed(full=True)
    room.append(Delta("a"))
    room.append(Delta("b"))
    assert ('"a"' in other.text, '"b"' in other.text, "delta" in slow_transport.text) == (True, True, False)
    slow._wire.changed(full=False)
    assert slow_transport.text.count("event: delta") == 1
    assert '"ab"' in slow_transport.text
    room.append(Delta("c"))
    assert slow_transport.written[-1] is other.written[-1]


async def test_one_that_comes_late_joins_when_it_has_caught_up() -> None:
    """Its first write is the log so far; from then on it is one of all."""
    room = await Room().open()
    _, early = room.attach()
    room.append(Delta("a"))
    _, late = room.attach()
    assert '"a"' in late.text
    room.append(Delta("b"))
    assert late.written[-1] is early.written[-1]


async def test_a_connection_that_closes_disturbs_nobody() -> None:
    """A write that fails ends that delivery alone, and never reaches whoever appended."""
    room = await Room().open()
    deliveries = [room.attach() for _ in range(3)]
    deliveries[1][1].closing = True
    room.append(Delta("x"))
    assert [delivery.over.done() for delivery, _ in deliveries] == [False, True, False]
    assert deliveries[1][0].over.exception() is None
    assert all('"x"' in transport.text for _, transport in (deliveries[0], deliveries[2]))


async def test_the_end_is_everybodys() -> None:
    """The terminal event reaches each, and each is over."""
    room = await Room().open()
    deliveries = [room.attach() for _ in range(2)]
    room.append(Delta("x"), END)
    for delivery, transport in deliveries:
        assert delivery.over.done()
        assert transport.text.count("event: completed") == 1
        delivery.stop()
    assert room.watchers <= 2


async def test_what_each_was_sent_is_counted() -> None:
    """A reader that leaves knows its position and how many events it has had, together with the others or alone."""
    room = await Room().open()
    room.append(Delta("a"))
    reader = room.reader()
    delivery, _ = room.attach(reader)
    room.append(Delta("b"))
    room.append(Delta("c"))
    reader.close()
    delivery.stop()
    assert room.left == [reader]
    assert reader.delivered == 4
    assert str(reader.position).endswith("-4")


async def test_a_stream_that_is_forgotten_says_so_to_each() -> None:
    """Nobody is left waiting on a log that is no longer there."""
    room = await Room().open()
    deliveries = [room.attach()[0] for _ in range(2)]
    await room.store.forget("gen_1")
    assert [type(delivery.over.exception()) for delivery in deliveries] == [StreamNotFound, StreamNotFound]


async def test_a_batching_reader_keeps_its_own_time() -> None:
    """Its batches are its own: it is not sent each event as the others are."""
    room = await Room().open()
    _, others = room.attach()
    _, batching = room.attach(room.reader(BatchPolicy(2, 60_000)))
    room.append(Delta("a"))
    assert '"a"' in others.text
    assert '"a"' not in batching.text
    room.append(Delta("b"))
    assert '"ab"' in batching.text


async def test_silence_is_filled_for_all_at_once() -> None:
    """After the heartbeat's time every member gets one, from one timer."""
    room = await Room(heartbeat_seconds=0.02).open()
    transports = [room.attach()[1] for _ in range(2)]
    async with asyncio.timeout(5):
        await asyncio.gather(*(transport.beaten.wait() for transport in transports))


async def test_the_last_to_leave_closes_it() -> None:
    """A stream that nobody reads has no watcher and no timer."""
    room = await Room().open()
    reader = room.reader()
    delivery, _ = room.attach(reader)
    reader.close()
    delivery.stop()
    assert room.watchers == 0
    assert room.broadcast._heartbeat is None


async def test_what_is_compressed_for_all_is_right_for_each() -> None:
    """Readers that came at different times, were full and came back read the same events and a right checksum."""
    room = await Room().open()
    together = room.broadcasts.of("gen_1", EVENTS, room.deliveries, compressed=True)
    bodies: list[tuple[Delivery, Transport, Gzip]] = []

    def attach() -> None:
        transport, gzip = Transport(), Gzip()
        wire = Wire(transport)  # type: ignore[arg-type]
        delivery = Delivery(
            wire, room.reader(), EVENTS, None, gzip, together, limit=100, heartbeat_seconds=15, meter=room.deliveries
        )
        delivery.begin(b"hello")
        bodies.append((delivery, transport, gzip))

    for number in range(30):
        if number % 7 == 0:
            attach()
        if number % 5 == 0:
            bodies[0][0]._wire.changed(full=number % 10 == 0)
        room.append(Delta(f"word {number} "))
    bodies[0][0]._wire.changed(full=False)
    assert bodies[-1][1].written[-1] is bodies[-2][1].written[-1]
    room.append(END)
    for delivery, transport, gzip in bodies:
        delivery.stop()
        plain = zlib.decompress(b"".join(unchunked(transport.written)) + gzip.end(), wbits=31).decode()
        assert plain.startswith("hello")
        assert "".join(re.findall(r'"text":"([^"]*)"', plain)) == "".join(f"word {number} " for number in range(30))
        assert plain.count("event: completed") == 1


async def test_news_for_a_full_connection_is_not_lost_in_a_read_under_way() -> None:
    """A read that began before the end, and is taken after the connection has drained, is not the last one."""
    room = Room()
    room.store = Slow(max_generation_bytes=1 << 20)
    await room.open()
    delivery, transport = room.attach()
    delivery._wire.changed(full=True)
    room.append(Delta("a"), END)
    for _ in range(10):
        await asyncio.sleep(0)
    delivery._wire.changed(full=False)
    for _ in range(100):
        await asyncio.sleep(0)
    assert delivery.over.done()
    assert "event: completed" in transport.text


async def test_no_reader_is_silent_for_longer_because_another_comes() -> None:
    """The first reader's heartbeat is due from its own last event, also once it is one of two."""
    room = await Room(heartbeat_seconds=15).open()
    first, _ = room.attach()
    first.last_write -= 14
    second, _ = room.attach()
    due = room.broadcast._heartbeat
    assert due is not None
    assert due.when() == pytest.approx(first.last_write + 15)
    first.stop()
    second.stop()


@pytest.mark.parametrize("batch", [EACH, BatchPolicy(3, 1)])
async def test_a_store_that_answers_later_loses_and_doubles_nothing(batch: BatchPolicy) -> None:
    """What is appended while a look is under way is looked for again, and who looks by itself joins nobody."""
    room = Room()
    room.store = Slow(max_generation_bytes=1 << 20)
    await room.open()
    deliveries: list[tuple[Delivery, Transport]] = []
    for number in range(40):
        if number % 10 == 0:
            deliveries.append(room.attach(room.reader(batch)))
        room.append(Delta(f"{number},"))
        await asyncio.sleep(0)
    room.append(END)
    async with asyncio.timeout(5):
        await asyncio.gather(*(delivery.over for delivery, _ in deliveries))
    for delivery, transport in deliveries:
        delivery.stop()
        said = "".join(re.findall(r'"text":"([^"]*)"', transport.text))
        assert said == "".join(f"{number}," for number in range(40))


async def test_frames_are_broadcast_as_they_are() -> None:
    """To sockets an event's bytes go unframed, once encoded, and nothing goes in silence."""
    room = await Room().open()
    frames = Frames()
    broadcast = room.broadcasts.of("socket", frames, room.deliveries, compressed=False)
    transports = [Transport() for _ in range(2)]
    for transport in transports:
        lane = SocketWire(transport, transport).lane()  # type: ignore[arg-type]
        Delivery(
            lane, room.reader(), frames, None, None, broadcast, limit=100, heartbeat_seconds=15, meter=room.deliveries
        ).begin(b"")
    room.append(Delta("x"))
    assert [transport.written for transport in transports] == [[b"<1>", b"<1>"]] * 2
    assert transports[0].written[-1] is transports[1].written[-1]
    assert broadcast._heartbeat is None


class Frames(SocketEvents):
    """Says how many events there are."""

    def __init__(self) -> None:
        super().__init__("stream", "gen_1", CODECS["tidegate.v1"])

    def encode(self, state: None, entries: Sequence[Entry], *, merge: bool) -> bytes:
        return b"<%d>" % len(entries)
