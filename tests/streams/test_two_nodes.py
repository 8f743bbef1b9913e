"""Two engines over one memory store are two nodes: whatever one does holds for the other."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from engine_kit import ANNA, BERT
from eventually_kit import eventually
from nodes_kit import END, LEASE, Nodes, begun, fail_one_look, go_on, stopped

from tidegate.core.events import Cancelled, Completed, Delta, Failed, GenerationRequest, Usage
from tidegate.core.principal import Principal
from tidegate.errors import Fenced, StoreUnavailable, StreamNotFound, TooManyGenerations, TooManyReaders
from tidegate.providers.base import Sink
from tidegate.stores.cluster import Orphan
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence
from tidegate.streams.reader import Reader

pytestmark = pytest.mark.anyio


async def test_either_serves_any_stream(nodes: Nodes) -> None:
    """A reader of the other node has every event, live, and the snapshot is the same."""
    nodes.add(go_on)
    stream = await begun(nodes)
    reader = await nodes.far.follow(stream)
    assert [entry.cursor.offset for entry in await reader.next(5) or ()] == [1, 2]  # type: ignore[union-attr]
    assert (await nodes.far.service.snapshot(stream, ANNA)).text == "Well, "
    assert (await nodes.far.service.snapshot(stream, ANNA)).status == "running"
    reader.close()


async def test_a_cancel_reaches_whoever_fills_the_stream(nodes: Nodes) -> None:
    """The provider is stopped there, and the answer says so here."""
    near, _ = nodes.add()
    stream = await begun(nodes)
    status, cursor = await nodes.far.service.cancel(stream, ANNA, "enough")
    assert (status, cursor.offset) == ("cancelled", 3)
    assert (await nodes.near.events(stream))[-1] == Cancelled("client", "enough", Usage(1, 1, 2, estimated=True))
    await eventually(lambda: near.cancelled == 1)
    assert await nodes.far.service.cancel(stream, ANNA, None) == (status, cursor)


async def test_a_stream_is_deleted_wherever_it_is_read(nodes: Nodes) -> None:
    """Its readers on both nodes have its end first; then it is on neither."""
    nodes.add()
    stream = await begun(nodes)
    readers = [await engine.follow(stream) for engine in (nodes.near, nodes.far)]
    seen = [asyncio.create_task(end_of(reader)) for reader in readers]
    await nodes.far.service.forget(stream, ANNA)
    assert [await each for each in seen] == ["Cancelled"] * 2
    for engine in (nodes.near, nodes.far):
        with pytest.raises(StreamNotFound):
            await engine.service.snapshot(stream, ANNA)


async def end_of(reader: Reader) -> str:
    last = ""
    async with asyncio.timeout(5):
        while not reader.at_end:
            found = await reader.next(5)
            last = type(found[-1].event).__name__  # type: ignore[index]
    reader.close()
    return last


async def test_a_guest_is_sent_away_wherever_it_reads(nodes: Nodes) -> None:
    """Its token is void on all nodes at once."""
    nodes.add()
    stream = await begun(nodes)
    token, _ = await nodes.near.service.share(stream, ANNA, 60)
    guest = await nodes.far.service.shares.holder(token)
    assert guest is not None
    reader = await nodes.far.follow(stream, viewer=guest)
    await nodes.near.service.unshare(stream, ANNA)
    await eventually(lambda: reader.told)
    assert await nodes.far.service.shares.holder(token) is None
    reader.close()


async def test_a_refresh_onto_the_other_node_cancels_nothing(nodes: Nodes) -> None:
    """An owner reader is one wherever it is; when the last has left on either, the grace begins."""
    near, _ = nodes.add()
    stream = await begun(nodes, grace=0.05)
    first = await nodes.near.follow(stream)
    second = await nodes.far.follow(stream)
    first.close()
    await deserted(nodes, grace=0.05)
    await eventually(lambda: near.running == 1)
    second.close()
    third = await nodes.near.follow(stream)
    await deserted(nodes, grace=0.05)
    await eventually(lambda: near.running == 1)
    third.close()
    await eventually(lambda: near.running == 0)
    assert isinstance((await nodes.far.events(stream))[-1], Cancelled)


async def deserted(nodes: Nodes, grace: float) -> None:
    """Another stream's last reader leaves, and its grace passes."""
    stream = await begun(nodes, grace=grace)
    (await nodes.near.follow(stream)).close()
    await eventually(lambda: nodes.store._get(stream).record.end)


async def test_a_viewer_of_the_other_node_is_no_owner(nodes: Nodes) -> None:
    """Who looks on keeps nothing alive."""
    near, _ = nodes.add()
    stream = await begun(nodes, grace=0)
    admin = Principal("key:root", frozenset({"admin"}))
    viewer = await nodes.far.follow(stream, viewer=admin)
    (await nodes.near.follow(stream)).close()
    await eventually(lambda: near.cancelled == 1)
    viewer.close()


async def test_who_is_here_is_told_on_all_nodes(nodes: Nodes) -> None:
    """Presence is of the topic, not of a node; a node that stops takes its people along."""
    near, far = nodes.near.service.topics, nodes.far.service.topics
    here, _ = await near.subscribe("room", ANNA, after="latest", transport="sse")
    there, _ = await far.subscribe("room", BERT, after="latest", transport="sse")
    assert near.presence("room", ANNA) == far.presence("room", BERT) == [("key:anna", 1), ("key:bert", 1)]
    assert await told(here) == (("key:anna", "key:bert"), ())
    await nodes.far.service.close()
    assert await told(here) == ((), ("key:bert",))
    here.close()
    there.close()


async def told(reader: Reader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    notice = await reader.next(5)
    return notice.joined, notice.left  # type: ignore[union-attr]


async def test_a_message_reaches_the_readers_of_both(nodes: Nodes) -> None:
    """A topic is one log."""
    reader, _ = await nodes.far.service.topics.subscribe("room", BERT, after="latest", transport="sse")
    await nodes.near.service.topics.publish("room", msgspec.Raw(b"1"), ANNA, type="message", state=False)
    async with asyncio.timeout(5):
        while not isinstance(found := await reader.next(5), list | tuple) or not hasattr(found[0], "event"):
            pass
    assert bytes(found[0].event.data) == b"1"
    reader.close()


async def test_limits_are_of_all_nodes(nodes: Nodes) -> None:
    """An account does not have twice as much where there are two."""
    nodes.add()
    streams = [await engine.start() for engine in (nodes.near, nodes.far, nodes.near)]
    with pytest.raises(TooManyGenerations):
        await nodes.far.start()
    readers = [await engine.follow(streams[0]) for engine in (nodes.near, nodes.far, nodes.near)]
    with pytest.raises(TooManyReaders):
        await nodes.far.follow(streams[0])
    readers[0].close()
    readers.append(await nodes.far.follow(streams[0]))
    for reader in readers:
        reader.close()


async def test_a_producer_goes_on_at_either_node(nodes: Nodes) -> None:
    """Its lease is good for both, each append once; a token that is not its own is fenced on both."""
    stream, token = await nodes.near.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    for offset, engine in enumerate((nodes.near, nodes.far, nodes.far, nodes.near), start=1):
        done = await engine.service.append(stream, ANNA, token, offset, [Delta(str(offset))])
        assert (done.after.offset, done.fresh) == (offset + 1, True)
    again = await nodes.far.service.append(stream, ANNA, token, 4, [Delta("4")])
    assert (again.after.offset, again.fresh) == (5, False)
    with pytest.raises(Fenced):
        await nodes.near.service.append(stream, ANNA, "lease_other", 5, [END])
    await nodes.near.service.append(stream, ANNA, token, 5, [END])
    assert (await nodes.far.service.snapshot(stream, ANNA)).text == "1234"


async def test_a_producer_that_comes_back_keeps_its_stream(nodes: Nodes) -> None:
    """That it was elsewhere for a moment makes nobody let go of it later; then its silence ends it, as ever."""
    stream, token = await nodes.near.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    for offset, engine in enumerate((nodes.far, nodes.near), start=1):
        await engine.service.append(stream, ANNA, token, offset, [Delta(str(offset))])
    assert list(await nodes.near.cluster.renew()) == []
    await eventually(lambda: stream not in nodes.far.service.node.live)
    assert nodes.near.cluster.holds(stream)
    assert stream in nodes.near.service.node.live
    assert stream not in nodes.far.service.node.live
    assert isinstance((await nodes.far.events(stream))[-1], Failed)


async def test_a_producer_that_is_silent_is_ended_once(nodes: Nodes) -> None:
    """By whichever node heard it last."""
    stream, token = await nodes.near.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    await nodes.far.service.append(stream, ANNA, token, 1, [Delta("a")])
    events = await nodes.near.events(stream)
    assert [type(event).__name__ for event in events] == ["Started", "Delta", "Failed"]


@pytest.mark.parametrize("can_continue", [True, False])
async def test_a_node_that_dies_takes_nothing_with_it(nodes: Nodes, can_continue: bool) -> None:
    """What it filled is carried on by the other, or ended, as soon as its lease is over; readers see it at once."""
    _, far = nodes.add(go_on, can_continue=can_continue)
    stream = await begun(nodes)
    await nodes.die()
    async with asyncio.timeout(LEASE + 20):
        events = await nodes.far.events(stream)
    if can_continue:
        assert [type(event).__name__ for event in events] == ["Started", "Delta", "Delta", "Completed"]
        assert far.asked == 1
    else:
        assert isinstance(events[-1], Failed)
        assert events[-1].error.code == "interrupted"


async def test_a_node_that_stops_hands_over_at_once(nodes: Nodes) -> None:
    """What another can go on with, that is; its readers come back there, and nothing is lost or doubled."""
    near, far = nodes.add(go_on, can_continue=True)
    stream = await begun(nodes, grace=0)
    reader = await nodes.near.follow(stream)
    await nodes.near.service.drain(5)
    assert reader.told
    reader.close()
    assert near.cancelled == 1
    events = await nodes.far.events(stream)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "Well, then."
    assert isinstance(events[-1], Completed)
    assert far.asked == 1


async def test_what_cannot_go_on_elsewhere_may_finish(nodes: Nodes) -> None:
    """A node that stops waits for it, while its readers are served by the other."""
    go = asyncio.Event()

    async def wait(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("Well, ")])
        await go.wait()
        sink.emit([Delta("then."), END])

    nodes.add(wait)
    stream = await begun(nodes, grace=0)
    reader = await nodes.near.follow(stream)
    draining = asyncio.create_task(nodes.near.service.drain(5))
    await eventually(lambda: reader.told)
    reader.close()
    there = asyncio.create_task(nodes.far.events(stream))
    await eventually(lambda: nodes.far.service.readers.of(stream))
    go.set()
    await draining
    assert isinstance((await there)[-1], Completed)


async def test_a_node_that_was_paused_has_lost_its_streams(nodes: Nodes) -> None:
    """What another has taken over meanwhile is that one's: an append comes too late, and its provider is stopped."""
    near, far = nodes.add(go_on, can_continue=True)
    stream = await begun(nodes)
    await stopped(nodes.near.service.node._membership._renewing)
    await eventually(lambda: far.asked == 1)
    nodes.near.service.node._membership._renewing = asyncio.create_task(nodes.near.service.node._membership._renew())
    events = await nodes.far.events(stream)
    assert [type(event).__name__ for event in events] == ["Started", "Delta", "Delta", "Completed"]
    await eventually(lambda: near.cancelled == 1)


async def test_a_producer_that_comes_to_a_node_that_stops_keeps_its_stream(nodes: Nodes) -> None:
    """What it has brought along is handed over, too: its lease is good for the node that goes on."""
    go = asyncio.Event()

    async def wait(request: GenerationRequest, sink: Sink) -> None:
        await go.wait()
        sink.emit([END])

    nodes.add(wait)
    await nodes.near.start()
    stream, token = await nodes.far.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    draining = asyncio.create_task(nodes.near.service.drain(5))
    await eventually(lambda: nodes.near.service.draining)
    await nodes.near.service.append(stream, ANNA, token, 1, [Delta("a")])
    go.set()
    await draining
    await eventually(lambda: nodes.far.cluster.holds(stream))
    await nodes.near.service.append(stream, ANNA, token, 2, [Delta("b")])
    await nodes.near.service.close()
    await eventually(lambda: nodes.far.cluster.holds(stream))
    await nodes.far.service.append(stream, ANNA, token, 3, [Delta("c"), END])
    assert (await nodes.far.service.snapshot(stream, ANNA)).text == "abc"


async def test_a_stream_that_is_opened_once_more_at_a_node_that_has_lost_it_is_held_there(nodes: Nodes) -> None:
    """Else the node that holds it were fenced, and nobody would end it."""
    claim = Claim("key", b"digest")
    stream, token = await nodes.near.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert token is not None
    # It is paused: it neither hears that the stream has moved nor learns it by renewing.
    membership = nodes.near.service.node._membership
    assert membership._unwatch is not None
    membership._unwatch()
    await stopped(membership._renewing)
    await nodes.far.service.append(stream, ANNA, token, 1, [Delta("a")])
    assert nodes.far.cluster.holds(stream)
    _, again = await nodes.near.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert again is not None
    assert nodes.near.cluster.holds(stream)
    membership._renewing = asyncio.create_task(membership._renew())
    await nodes.far.service.append(stream, ANNA, again, 2, [Delta("b"), END])
    assert (await nodes.near.service.snapshot(stream, ANNA)).text == "ab"


class Breaking:
    """A store whose caller leaves, or dies, as soon as it has created or acquired a stream."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def create(self, *args: object, **named: object) -> object:
        await self._store.create(*args, **named)  # type: ignore[arg-type]
        raise asyncio.CancelledError

    async def acquire(self, *args: object, **named: object) -> object:
        await self._store.acquire(*args, **named)  # type: ignore[arg-type]
        raise asyncio.CancelledError


async def test_a_move_that_is_broken_off_leaves_a_stream_that_somebody_fills(nodes: Nodes) -> None:
    """The node that had it is fenced by then; its producer goes on at either."""
    stream, token = await nodes.near.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    nodes.far.service.node.client_streams._store = Breaking(nodes.store)  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await nodes.far.service.append(stream, ANNA, token, 1, [Delta("a")])
    nodes.far.service.node.client_streams._store = nodes.store
    await eventually(lambda: sum(stream in each.service.node.live for each in (nodes.near, nodes.far)) == 1)
    await nodes.near.service.append(stream, ANNA, token, 1, [Delta("a")])
    assert isinstance((await nodes.far.events(stream))[-1], Failed)


async def test_a_start_that_is_broken_off_leaves_no_stream_without_an_end(nodes: Nodes) -> None:
    """It was created, and nobody fills it: it is an orphan as any other, and may have cost something already."""
    near, far = nodes.add()
    nodes.near.service.node.generations._store = Breaking(nodes.store)  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await nodes.near.start()

    async def is_interrupted() -> bool:
        (summary,), _ = await nodes.far.service.list(ANNA, status=None, before=None, limit=2)
        return summary.status == "failed"

    await eventually(is_interrupted)
    assert near.running + far.running == 0


async def test_an_excuse_is_for_one_departure(nodes: Nodes) -> None:
    """A reader that a stopping node has sent to the other one leaves like anybody else, once it leaves that one."""
    _, far = nodes.add()
    stream = await nodes.far.start(grace=0.05)
    reader = await nodes.near.follow(stream)
    draining = asyncio.create_task(nodes.near.service.drain(5))
    await eventually(lambda: reader.told)
    reader.close()
    (await nodes.far.follow(await nodes.far.start(grace=0.05))).close()
    await eventually(lambda: far.cancelled == 1)
    assert far.running == 1
    reader = await nodes.far.follow(stream)
    await draining
    await nodes.near.service.close()
    reader.close()
    await eventually(lambda: far.cancelled == 2)


async def test_a_cancel_follows_a_stream_that_moves(nodes: Nodes) -> None:
    """It is told again to whoever fills the stream, where that has changed while it was on its way."""
    stream, token = await nodes.near.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    unlisten = nodes.near.service.node._membership._unwatch
    assert unlisten is not None
    unlisten()
    told: list[object] = []
    nodes.far.cluster.tell = told.append  # type: ignore[method-assign]
    cancelling = asyncio.create_task(nodes.far.service.cancel(stream, ANNA, "enough"))
    await eventually(lambda: told)
    del nodes.far.cluster.tell  # type: ignore[method-assign]
    await nodes.far.service.append(stream, ANNA, token, 1, [Delta("a")])
    status, cursor = await cancelling
    assert (status, cursor.offset) == ("cancelled", 3)


async def test_an_orphan_that_could_not_be_looked_at_is_offered_again(nodes: Nodes) -> None:
    """A store that is away for a moment, just then, leaves no stream without an end."""
    _, far = nodes.add(go_on, can_continue=True)
    stream = await begun(nodes)
    failed = fail_one_look(nodes, StoreUnavailable("it is away"))
    await nodes.die()
    assert isinstance((await nodes.far.events(stream))[-1], Completed)
    assert (failed, far.asked) == ([stream], 1)


class Hesitating:
    """A store that acquires when a test lets it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def acquire(self, stream: str) -> Fence:
        self.asked.set()
        await self.go.wait()
        return await self._store.acquire(stream)


async def test_a_node_that_stops_takes_over_what_it_has_begun_to(nodes: Nodes) -> None:
    """Nobody else is offered that, for as long as it drains."""
    nodes.add(go_on, can_continue=True)
    stream = await begun(nodes)
    nodes.far.service.node._takeover._store = store = Hesitating(nodes.store)  # type: ignore[assignment]
    await nodes.die()
    await store.asked.wait()
    draining = asyncio.create_task(nodes.far.service.drain(5))
    await eventually(lambda: nodes.far.service.draining)
    store.go.set()
    assert isinstance((await nodes.far.events(stream))[-1], Completed)
    await draining


async def test_what_is_taken_over_is_as_it_is_then(nodes: Nodes) -> None:
    """An orphan may have been somebody's again, and have begun, since it was looked at."""
    nodes.add(go_on, can_continue=True)
    stream = await begun(nodes)
    seen = msgspec.structs.replace((await nodes.store.look(stream)).record, running=False)
    await nodes.die()
    await nodes.far.service.node._takeover.of(Orphan(seen))
    assert [type(event).__name__ for event in await nodes.far.events(stream)][-2:] == ["Delta", "Completed"]
    assert (await nodes.far.service.snapshot(stream, ANNA)).text == "Well, then."


async def test_a_lease_that_was_replaced_is_not_taken_along(nodes: Nodes) -> None:
    """Neither by a node that takes the stream over, nor by one to which the old producer has come meanwhile."""
    claim = Claim("key", b"digest")
    stream, old = await nodes.near.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert old is not None
    seen = (await nodes.store.look(stream)).record
    _, new = await nodes.near.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert new is not None
    await nodes.near.cluster.hand_over(stream)
    await nodes.far.service.node._takeover.of(Orphan(seen))
    for engine in (nodes.far, nodes.near):
        with pytest.raises(Fenced):
            await engine.service.append(stream, ANNA, old, 1, [Delta("late")])
        with pytest.raises(Fenced):
            await engine.service.node.client_streams.append(seen, old, 1, [Delta("late")])
    await nodes.near.service.append(stream, ANNA, new, 1, [Delta("a"), END])
