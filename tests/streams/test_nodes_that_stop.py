"""What a node that stops leaves to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from engine_kit import ANNA, Engine, Scripted, request
from eventually_kit import eventually
from nodes_kit import END, LEASE, Nodes, begun, hang, stopped

from tidegate.core.batching import BatchPolicy
from tidegate.core.events import Cancelled, Completed, Delta, Event, Failed, GenerationRequest
from tidegate.core.notices import Reconnect
from tidegate.errors import Interrupted, StoreUnavailable
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence
from tidegate.streams.live import Handle, LiveStream
from tidegate.streams.reader import Reader
from tidegate.streams.timing import Timing

pytestmark = pytest.mark.anyio


class Away(MemoryStore):
    """A store that cannot write while it is `away`."""

    away = False

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> int:
        if self.away:
            raise StoreUnavailable("it is away")
        return super().append(events, fence=fence, expected=expected)


async def test_what_a_node_could_not_end_is_ended_by_another() -> None:
    """The store could not write when the node stopped, and it can again: somebody has to write the end."""
    store = Away(max_generation_bytes=1 << 20)
    near, far = (Engine(store=store, lease_seconds=LEASE, timing=Timing(parting=0.01)) for _ in range(2))
    for engine in (near, far):
        engine.add(Scripted(hang))
        await engine.service.open()
    stream = await near.start()
    await eventually(lambda: store._get(stream).log.tail == 2)
    store.away = True
    await near.service.close()
    store.away = False
    assert isinstance((await far.events(stream))[-1], Failed)
    await far.service.close()


async def test_a_node_that_stops_takes_nothing_back(nodes: Nodes) -> None:
    """What it has handed over when it was not given time to drain is the other's, as after a drain."""
    near, far = nodes.add(can_continue=True)
    for _ in range(2):
        await begun(nodes)
    await nodes.near.service.close()
    await eventually(lambda: far.asked == 2)
    assert near.asked == 2


@pytest.mark.parametrize("first", [0, 1])
async def test_nodes_that_stop_together_finish_what_they_have(nodes: Nodes, first: int) -> None:
    """Neither leaves it to the other: what one has handed over before the other began to stop is finished there."""
    go = asyncio.Event()

    async def wait(request: GenerationRequest, sink: Sink) -> None:
        await go.wait()
        sink.emit([END])

    nodes.add(wait, can_continue=True)
    stream = await nodes.near.start()
    order = (nodes.near, nodes.far) if first == 0 else (nodes.far, nodes.near)
    draining = [asyncio.create_task(engine.service.drain(5)) for engine in order]
    await eventually(lambda: nodes.near.service.draining and nodes.far.service.draining)
    go.set()
    await asyncio.wait(draining)
    assert isinstance((await nodes.store.look(stream)).record.end, Completed)


async def test_nodes_that_are_stopped_as_one_leave_each_other_nothing(nodes: Nodes) -> None:
    """However late one of them hears of it: no reader is sent from one that stops to another that stops."""
    near, far = nodes.add(can_continue=True)
    await begun(nodes)
    draining = [asyncio.create_task(nodes.near.service.drain(0.01, siblings=1))]
    await eventually(lambda: not nodes.far.cluster.successors)
    assert not any(task.done() for task in draining)
    draining.append(asyncio.create_task(nodes.far.service.drain(0.01, siblings=1)))
    await asyncio.wait(draining)
    assert (near.asked, far.asked) == (1, 0)


async def test_a_node_does_not_wait_for_siblings_that_are_gone(nodes: Nodes) -> None:
    """It knows of none, or they say nothing for a second: what it has goes to whoever is left."""
    near, far = nodes.add(can_continue=True)
    await begun(nodes)
    await nodes.near.service.drain(0.01, siblings=3)
    await eventually(lambda: far.asked == 1)
    assert near.asked == 1


async def queued(nodes: Nodes, *, returns: bool) -> tuple[Handle, Reader]:
    """A generation that waits for its turn at the near node, whose only reader is there."""
    for engine in (nodes.near, nodes.far):
        engine.add(Scripted(hang), max_concurrency=1)
    await begun(nodes)
    handle = await nodes.near.service.start(request(), owner=ANNA, grace=0.0)
    follow = nodes.near.service.follow
    return handle, await follow(handle.stream, ANNA, after=None, batch=BatchPolicy(), transport="sse", returns=returns)


@pytest.mark.parametrize("returns", [True, False])
async def test_an_answer_goes_where_somebody_can_come_back_to_it(nodes: Nodes, returns: bool) -> None:
    """An OpenAI client cannot: its answer would be generated for nobody. It is told to repeat its call."""
    handle, reader = await queued(nodes, returns=returns)
    waiting = asyncio.create_task(nodes.near.service.answered(handle))
    draining = asyncio.create_task(nodes.near.service.drain(0.01))
    with pytest.raises(Interrupted):
        await waiting
    reader.close()
    if returns:
        await eventually(lambda: handle.stream in nodes.far.service.node.live)
    else:
        assert isinstance((await nodes.far.events(handle.stream))[-1], Failed)
    assert (handle.stream in nodes.far.service.node.live) is returns
    await draining


async def test_who_cannot_come_back_may_read_to_the_end(nodes: Nodes) -> None:
    """As at a node without others, for as long as the drain takes."""
    handle, reader = await queued(nodes, returns=False)
    draining = asyncio.create_task(nodes.near.service.drain(5))
    await eventually(lambda: nodes.near.service.draining)
    await nodes.near.service.cancel(next(iter(nodes.near.service.node.live)).stream, ANNA, None)
    await eventually(lambda: handle.live is not None and handle.live.position is None)
    assert not reader.told
    reader.close()
    await draining
    assert isinstance((await nodes.far.events(handle.stream))[-1], Cancelled)


async def go_on_for_long(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("Well, " if request.carried is None else "then.")])
    await asyncio.Event().wait()


async def until(reader: Reader, text: str) -> None:
    """Reads until there is this piece."""
    found: object = None
    while not (isinstance(found, Sequence) and found[-1].event == Delta(text)):
        found = await reader.next(20)
        assert found is not None
        assert not isinstance(found, Reconnect)


async def test_readers_are_served_until_they_are_asked_to_go(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked one after the other, and who waits for its turn has at once what another node goes on with."""
    monkeypatch.setattr("tidegate.streams.drain.ASKED_PER_SECOND", 1e-6)
    monkeypatch.setattr("tidegate.streams.drain.ASKING_SECONDS", 1e6)
    nodes.add(go_on_for_long, can_continue=True)
    stream = await begun(nodes)
    first, second = [await nodes.near.follow(stream) for _ in range(2)]
    draining = asyncio.create_task(nodes.near.service.drain(1e9))
    await eventually(lambda: first.told)
    first.close()
    await until(second, "then.")
    assert not second.told
    second.close()
    draining.cancel()


async def test_streams_are_filled_until_another_node_has_hands_for_them(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that stops hands over a few at a time: a stream that nobody takes yet would stand still meanwhile."""
    monkeypatch.setattr("tidegate.streams.drain.HANDED_AT_ONCE", 1)
    monkeypatch.setattr("tidegate.streams.drain.TAKEN_SECONDS", 1e6)
    near, far = nodes.add(go_on_for_long, can_continue=True)
    for _ in range(3):
        await begun(nodes)
    membership = nodes.far.service.node._membership
    await stopped(membership._adopting)
    draining = asyncio.create_task(nodes.near.service.drain(1e9))
    await eventually(lambda: near.cancelled == 1)
    assert (near.running, nodes.far.cluster.orphaned) == (2, 1)
    membership._adopting = asyncio.create_task(membership._adopt_orphans())
    await eventually(lambda: far.running == 3)
    assert near.running == 0
    draining.cancel()


async def test_a_node_does_not_wait_for_words_that_never_come(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes of an earlier version take streams over without saying so: all are handed over before the drain is over."""
    monkeypatch.setattr("tidegate.streams.drain.HANDED_AT_ONCE", 1)
    monkeypatch.setattr("tidegate.streams.drain.TAKEN_SECONDS", 0.01)
    near, _ = nodes.add(go_on_for_long, can_continue=True)
    for _ in range(3):
        await begun(nodes)
    await stopped(nodes.far.service.node._membership._adopting)
    draining = asyncio.create_task(nodes.near.service.drain(1e9))
    await eventually(lambda: near.cancelled == 3)
    draining.cancel()


class Counted:
    """Hands streams over as the node's drain does, and counts how often."""

    def __init__(self, engine: Engine) -> None:
        self.calls = 0
        self._hand_over = engine.service.node._drain._hand_over

    async def __call__(self, some: Sequence[LiveStream]) -> None:
        self.calls += 1
        await self._hand_over(some)


@pytest.mark.parametrize(("share", "most"), [(1.0, 20), (0.0, 2)])
async def test_a_drain_is_not_held_up_by_who_takes_nothing_over(
    share: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More and more are handed over together, and all once a share of the time has passed. That a node says it has
    taken another stream over, e.g. one that its client brings, promises nothing of these."""
    monkeypatch.setattr("tidegate.streams.drain.HANDED_AT_ONCE", 1)
    monkeypatch.setattr("tidegate.streams.drain.TAKEN_SECONDS", 0.01)
    monkeypatch.setattr("tidegate.streams.drain.HANDING_SHARE", share)
    nodes = Nodes()
    nodes.near, nodes.far = (Engine(store=nodes.store, lease_seconds=LEASE) for _ in range(2))
    near, _ = nodes.add(go_on_for_long, can_continue=True)
    for engine in (nodes.near, nodes.far):
        await engine.service.open()
    for _ in range(40):
        await begun(nodes)
    await stopped(nodes.far.service.node._membership._adopting)
    drain = nodes.near.service.node._drain
    drain.moved("gen_other")
    monkeypatch.setattr(drain, "_hand_over", counted := Counted(nodes.near))
    draining = asyncio.create_task(nodes.near.service.drain(1e9))
    await eventually(lambda: near.cancelled == 40)
    assert counted.calls <= most
    draining.cancel()
    for engine in (nodes.near, nodes.far):
        await engine.service.close()


class Lasting(MemoryStore):
    """As a store on disk, or in Redis."""

    outlives_process = True


async def test_a_producer_takes_its_stream_along() -> None:
    """A node that stops keeps what a client fills, until the client comes to another node or this one ends: over the
    connection that it has, the client's next append comes here."""
    store = Lasting(max_generation_bytes=1 << 20)
    near, far = (Engine(store=store, lease_seconds=LEASE) for _ in range(2))
    for engine in (near, far):
        engine.add(Scripted(hang))
        await engine.service.open()
    stream, token = await near.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    await near.start()
    draining = asyncio.create_task(near.service.drain(30))
    await eventually(lambda: near.service.readers.moving_on)
    assert near.cluster.holds(stream)
    await near.service.append(stream, ANNA, token, 1, [Delta("a")])
    await far.service.append(stream, ANNA, token, 2, [Delta("b")])
    await eventually(lambda: not near.cluster.holds(stream))
    await near.service.append(stream, ANNA, token, 3, [Delta("c")])
    draining.cancel()
    await near.service.close()
    await eventually(lambda: far.cluster.holds(stream))
    await far.service.append(stream, ANNA, token, 4, [END])
    assert (await far.service.snapshot(stream, ANNA)).text == "abc"
    await far.service.close()


async def test_who_comes_to_a_node_that_stops_gets_what_there_is_before_it_has_to_go(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer may send it there for a while, and it must not be sent back and forth without getting anything."""
    monkeypatch.setattr("tidegate.streams.readers.BRIEFLY_SECONDS", 0.01)
    nodes.add(hang)
    stream = await begun(nodes)
    draining = asyncio.create_task(nodes.near.service.drain(30))
    await eventually(lambda: nodes.near.service.readers.moving_on)
    late = await nodes.near.follow(stream)
    await until(late, "Well, ")
    notice = await late.next(20)
    assert isinstance(notice, Reconnect)
    assert notice.after_ms <= 500
    late.close()
    draining.cancel()


async def test_a_generation_that_has_just_been_launched_gives_its_place_back(single: Engine) -> None:
    """A takeover may launch one at the very moment at which its node stops."""
    single.add(Scripted(hang), max_concurrency=1)
    await single.start()
    await single.service.node.generations.stop()
    assert len(single.service.node.live) == 0
    assert single.models["m"].admission.enter("key:bert").turn.is_set()
