"""A dialect that remembers, over every way to a client: its readers come, are slow, leave and come back."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered_kit import Memory, Numbered, NumberedFrames, check_merged, read, read_frames, told
from room_kit import EACH, Room, Slow, Transport

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Usage
from tidegate.delivery.attachment import Attachment
from tidegate.delivery.broadcast import Broadcast
from tidegate.delivery.direct_delivery import Delivery
from tidegate.delivery.socket import Socket
from tidegate.delivery.sse import Delivered, send_events
from tidegate.delivery.standing import stand_at
from tidegate.serving.ws_wire import SocketWire

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))
HELLO = b"hello"


def said(transport: Transport) -> list[dict[str, Any]]:
    return read(transport.body.removeprefix(HELLO))


async def test_readers_at_the_tail_are_told_alike() -> None:
    """One from the start and one that came later, joined to the same broadcast, have the same numbers from there on."""
    room = await Room(Numbered()).open()
    _, early = room.attach()
    room.append(Delta("a"))
    _, late = room.attach()
    room.append(Delta("b"))
    assert early.written[-1] is late.written[-1]
    room.append(END)
    assert said(early) == said(late) == told(room.log())


async def test_one_that_was_slow_is_told_the_same_in_fewer_words() -> None:
    """It leaves with what the broadcast remembers, is told merged what it missed, and joins again: no number is off."""
    room = await Room(Numbered()).open()
    (slow, slow_transport), (_, other) = room.attach(), room.attach()
    room.append(Delta("a"))
    slow._wire.changed(full=True)
    for letter in "bcd":
        room.append(Delta(letter))
    slow._wire.changed(full=False)
    assert [each["delta"] for each in said(slow_transport) if "delta" in each] == ["a", "bcd"]
    room.append(Delta("e"))
    assert slow_transport.written[-1] is other.written[-1]
    room.append(END)
    assert said(other) == told(room.log())
    check_merged(said(slow_transport), told(room.log()))


async def test_who_leaves_a_broadcast_shares_nothing_with_it() -> None:
    """Of two members one goes alone: what either is told from then on does not move the other."""
    room = await Room(Numbered()).open()
    (slow, _), (other, _) = room.attach(), room.attach()
    assert slow.state is other.state is None
    slow._wire.changed(full=True)
    room.append(Delta("a"))
    assert slow.state == Memory(1, 1)
    assert room.broadcast._state == Memory(3, 2, 0, "a")


async def test_a_broadcast_that_nobody_has_remembers_nothing() -> None:
    """The last to leave takes the memory along, and the next to come brings one."""
    room = await Room(Numbered()).open()
    together = room.broadcast
    delivery, _ = room.attach()
    delivery.stop()
    assert (together._state, delivery.state) == (None, Memory(1, 1))
    room.append(Delta("a"))
    _, transport = room.attach()
    room.append(END)
    assert said(transport) == told(room.log())


async def test_a_reader_that_batches_is_told_in_its_own_batches() -> None:
    """It joins nobody, and its numbers are those of everybody."""
    room = await Room(Numbered()).open()
    _, batching = room.attach(room.reader(BatchPolicy(2, 60_000)))
    for letter in "abc":
        room.append(Delta(letter))
    room.append(END)
    assert [each["delta"] for each in said(batching) if "delta" in each] == ["ab", "c"]
    check_merged(said(batching), told(room.log()))


async def test_after_a_gap_everything_is_told_anew() -> None:
    """A cursor that is gone leads to the beginning, and so do the numbers."""
    room = await Room(Numbered()).open()
    room.append(Delta("a"))
    lost = Cursor("zzzz", 1)
    stand = await stand_at(room.dialect, lost, room.pages(), "anna")
    _, transport = room.attach(room.reader(after=lost), stand.state)
    room.append(END)
    gap, *rest = said(transport)
    assert gap == {"notice": "Gap"}
    assert rest == told(room.log())


actions = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 70)),
        st.tuples(st.just("attach"), st.integers(-1, 200)),
        st.tuples(st.sampled_from(["fill", "drain", "part"]), st.integers(0, 5)),
    ),
    max_size=25,
)


@given(actions)
async def test_no_number_is_ever_off(script: list[tuple[str, int]]) -> None:
    """Whoever comes when, at any place of the log, is full, drains, or leaves: each is told the rest, and all of it."""
    room, readers = await Room(Numbered()).open(), list[tuple[Delivery, Transport, int]]()
    for action, number in [("attach", -1), *script]:
        if action == "append":
            room.append(*(Delta(chr(97 + index % 26)) for index in range(number)))
        elif action == "attach":
            readers.append(await came_back(room, number))
        else:
            act(action, readers[number % len(readers)][0])
    for delivery, _, _ in readers:
        act("drain", delivery)
    room.append(END)
    for delivery, transport, number in readers:
        if delivery.reader.left:
            continue
        async with asyncio.timeout(5):
            await delivery.over
        check_merged(said(transport), told(room.log()), after=number)
        delivery.stop()


def act(action: str, delivery: Delivery) -> None:
    """What can happen to a connection."""
    if delivery.reader.left:
        return
    if action == "part":
        delivery.reader.close()
        delivery.stop()
    else:
        delivery._wire.changed(full=action == "fill")


async def came_back(room: Room, number: int, batch: BatchPolicy = EACH) -> tuple[Delivery, Transport, int]:
    """A reader that was told up to this number before, if there is one."""
    number = min(number, len(told(room.log())) - 1)
    dialect = room.dialect
    stand = await stand_at(dialect, dialect.position(str(number), param="after"), room.pages(), "anna")
    return *room.attach(room.reader(batch, after=stand.after), stand.state), number


@pytest.mark.parametrize("batch", [EACH, BatchPolicy(3, 1)])
async def test_a_store_that_answers_later_puts_no_number_off(batch: BatchPolicy) -> None:
    """Readers that come back while it is looking, and while events are appended, at any place of the log."""
    room = Room(Numbered())
    room.store = Slow(max_generation_bytes=1 << 20)
    await room.open()
    readers: list[tuple[Delivery, Transport, int]] = []
    for number in range(30):
        if number % 4 == 0:
            readers.append(await came_back(room, number, batch))
        room.append(Delta(f"{number},"))
        await asyncio.sleep(0)
    room.append(END)
    async with asyncio.timeout(5):
        await asyncio.gather(*(delivery.over for delivery, _, _ in readers))
    for delivery, transport, number in readers:
        delivery.stop()
        check_merged(said(transport), told(room.log()), after=number)


class Asgi:
    """A server's side of ASGI: keeps what is sent, for a client that says nothing."""

    def __init__(self) -> None:
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("a client that says nothing")

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)
        await asyncio.sleep(0)


def delivered(room: Room, state: Memory) -> Delivered:
    return Delivered(
        dialect=room.dialect, state=state, headers=(), heartbeat_seconds=15, buffer_bytes=100, meter=room.deliveries
    )


@pytest.mark.parametrize("number", [-1, 0, 1, 2])
async def test_an_event_stream_through_asgi_begins_at_any_number(number: int) -> None:
    """Under a server without a direct way, headers, first bytes and events are the dialect's, too."""
    room, server = await Room(Numbered()).open(), Asgi()
    room.append(Delta("a"))
    stand = await stand_at(room.dialect, room.dialect.position(str(number), param="after"), room.pages(), "anna")
    reader = room.reader(after=stand.after)
    sending = asyncio.create_task(send_events(server.receive, server.send, None, reader, delivered(room, stand.state)))
    await asyncio.sleep(0)
    room.append(Delta("b"))
    room.append(END)
    async with asyncio.timeout(5):
        await sending
    assert (b"x-numbered", b"yes") in server.sent[0]["headers"]
    body = b"".join(message["body"] for message in server.sent[1:])
    assert body.startswith(b": numbered\n")
    assert read(body) == told(room.log())[number + 1 :]


def attachment(room: Room, number: int, stand_after: Cursor | None) -> tuple[Attachment, asyncio.Future[None]]:
    over = asyncio.get_running_loop().create_future()
    reader = room.reader(EACH, after=stand_after)
    return Attachment(("stream", "gen_1"), reader, lambda _, error: over.set_result(error)), over


@pytest.mark.parametrize("number", [-1, 0, 1, 2])
@pytest.mark.parametrize("way", ["direct", "asgi"])
async def test_a_socket_begins_at_any_number(way: str, number: int) -> None:
    """Frames written straight to the connection say what messages through ASGI say."""
    dialect = NumberedFrames()
    room, server, transport = await Room(dialect).open(), Asgi(), Transport()
    room.append(Delta("a"))
    stand = await stand_at(dialect, dialect.position(str(number), param="after"), room.pages(), "anna")
    following, over = attachment(room, number, stand.after)
    if way == "asgi":
        following.send(Socket(server.receive, server.send, binary=False), dialect, stand.state, room.deliveries)
    else:
        wire = SocketWire(transport, transport)  # type: ignore[arg-type]
        following.deliver(
            wire, dialect, stand.state, room.broadcast, buffer_bytes=100, heartbeat_seconds=15, meter=room.deliveries
        )
    await asyncio.sleep(0)
    room.append(Delta("b"))
    room.append(END)
    async with asyncio.timeout(5):
        assert await over is None
    sent = b"".join(transport.written)
    found = read_frames(sent) if way == "direct" else [read_text(message) for message in server.sent]
    assert found == told(room.log())[number + 1 :]


def read_text(message: MutableMapping[str, Any]) -> Any:
    (only,) = read(b"data: " + message["text"].encode() + b"\n\n")
    return only


async def test_sockets_share_a_broadcast_and_their_slow_ones_catch_up() -> None:
    """Over lanes it is as over event streams: joining, leaving, joining again."""
    dialect = NumberedFrames()
    room = await Room(dialect).open()
    together: Broadcast = room.broadcast
    transports = [Transport() for _ in range(2)]
    wires = [SocketWire(transport, transport) for transport in transports]  # type: ignore[arg-type]
    for wire in wires:
        following, _ = attachment(room, -1, None)
        following.deliver(
            wire, dialect, dialect.begin(), together, buffer_bytes=100, heartbeat_seconds=15, meter=room.deliveries
        )
    room.append(Delta("a"))
    wires[0].changed(full=True)
    for letter in "bcd":
        room.append(Delta(letter))
    wires[0].changed(full=False)
    room.append(Delta("e"))
    assert transports[0].written[-1] is transports[1].written[-1]
    room.append(END)
    slow, other = (read_frames(b"".join(transport.written)) for transport in transports)
    assert other == told(room.log())
    assert [each["delta"] for each in slow if "delta" in each] == ["a", "bcd", "e"]
    check_merged(slow, told(room.log()))
