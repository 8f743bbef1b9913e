"""Nodes that are taken for dead, or whose store fails in a way that nobody has expected: every stream has an end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest
from engine_kit import Engine, Scripted
from eventually_kit import eventually
from nodes_kit import LEASE, Nodes, begun, fail_one_look, go_on, hang, stopped

from tidegate.core.events import Completed, Failed, Started
from tidegate.core.principal import Principal
from tidegate.errors import InternalError, StoreUnavailable, TidegateError
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Look, StreamRecord
from tidegate.streams.timing import Timing

pytestmark = pytest.mark.anyio


async def test_an_orphan_that_is_live_here_with_a_void_fence_is_acquired_anew(nodes: Nodes) -> None:
    """A node that was taken for dead still has it, but another has filled it meanwhile, and has handed it over."""
    nodes.add(go_on, can_continue=True)
    stream = await begun(nodes)
    await stopped(*(getattr(nodes.far.service.node._membership, name) for name in ("_renewing", "_adopting")))
    await nodes.store.acquire(stream)
    await nodes.near.cluster.hand_over(stream)
    assert isinstance((await nodes.far.events(stream))[-1], Completed)


class Hesitant:
    """A store that creates when a test lets it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def create(self, *args: object, **named: object) -> object:
        self.asked.set()
        await self.go.wait()
        return await self._store.create(*args, **named)  # type: ignore[arg-type]


async def test_a_stream_that_is_created_by_a_node_that_was_taken_for_dead_is_held(nodes: Nodes) -> None:
    """The others were offered it before it was there, and have found nothing."""
    nodes.add()
    store = nodes.near.service.node.generations._store = Hesitant(nodes.store)  # type: ignore[assignment]
    starting = asyncio.create_task(nodes.near.start())
    await store.asked.wait()
    nodes.near.cluster.lives_until = 0
    await nodes.far.cluster.renew()
    await eventually(lambda: not (nodes.store._nodes.orphans or nodes.store._nodes.held))
    store.go.set()
    stream = await starting
    assert nodes.near.cluster.holds(stream)


async def test_an_unexpected_error_is_not_the_end_of_taking_over(nodes: Nodes) -> None:
    """A row that is damaged, say: what can be read is taken over all the same, and the rest once it can be."""
    nodes.add()
    streams = [await begun(nodes) for _ in range(2)]
    fail_one_look(nodes, InternalError("a row is damaged"))
    await nodes.die()
    for stream in streams:
        assert isinstance((await nodes.far.events(stream))[-1], Failed)


class Unread:
    """A store that does not come to reading the streams it `hides`."""

    def __init__(self, store: MemoryStore, hides: set[str]) -> None:
        self._store = store
        self._hides = hides

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def read(self, stream: str, *args: object, **named: object) -> object:
        if stream in self._hides:
            return asyncio.get_running_loop().create_future()
        return self._store.read(stream, *args, **named)  # type: ignore[arg-type]


async def test_an_end_does_not_wait_behind_streams_that_are_continued(nodes: Nodes) -> None:
    """Their logs may be long, and are read first; what cannot be continued ends soon after the lease."""
    nodes.add(can_continue=True)
    callers = [Principal(f"key:{number}", frozenset(), account=f"{number}") for number in range(12)]
    long = {await begun(nodes, owner=caller) for caller in callers}
    for engine in (nodes.near, nodes.far):
        engine.add(Scripted(hang), "short")
    short = await begun(nodes, model="short")
    nodes.far.service.node._takeover._store = Unread(nodes.store, long)  # type: ignore[assignment]
    await nodes.die()
    # The logs that are read first never come.
    async with asyncio.timeout(LEASE + 20):
        assert isinstance((await nodes.far.events(short))[-1], Failed)


class Damaged:
    """A store of which the first looks fail: `errors`, one after the other."""

    def __init__(self, store: MemoryStore, *errors: TidegateError) -> None:
        self._store = store
        self.errors = list(errors)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def look(self, stream: str) -> Look:
        if self.errors:
            raise self.errors.pop(0)
        return await self._store.look(stream)


@pytest.mark.parametrize("errors", [[InternalError("a bug")], [StoreUnavailable("away"), InternalError("a bug")]])
async def test_what_could_not_be_taken_over_is_taken_over_later(nodes: Nodes, errors: list[TidegateError]) -> None:
    """Nobody else is offered it while a node that has failed to take it over holds it."""
    nodes.add()
    stream = await begun(nodes)
    takeover = nodes.far.service.node._takeover
    takeover._timing = Timing(retry=(0.01,))
    takeover._store = Damaged(nodes.store, *errors)  # type: ignore[assignment]
    await nodes.die()
    assert isinstance((await nodes.far.events(stream))[-1], Failed)


async def test_a_node_opens_whatever_one_orphan_has(nodes: Nodes) -> None:
    """It is taken over a little later; what else the store has is served meanwhile."""
    stream = "gen_1"
    record = StreamRecord(id=stream, owner="key:anna", model="m", created_at=0.0)
    await nodes.store.create(record, [Started(stream, "m", 0.0)])
    engine = Engine(store=nodes.store, lease_seconds=LEASE)

    async def opened() -> list[StreamRecord]:
        return [record]

    nodes.store.open = opened  # type: ignore[method-assign]
    engine.service.node._takeover._store = Damaged(nodes.store, InternalError("a bug"))  # type: ignore[assignment]
    await engine.service.open()
    assert isinstance((await engine.events(stream))[-1], Failed)
    await engine.service.close()


def test_a_node_may_be_opened_again_on_another_loop() -> None:
    """As by two clients of a test, one after the other: it takes over what is an orphan then, too."""
    nodes = Nodes()
    nodes.add()

    async def take_over() -> None:
        for engine in (nodes.near, nodes.far):
            await engine.service.open()
        stream = await begun(nodes)
        await nodes.die()
        assert isinstance((await nodes.far.events(stream))[-1], Failed)
        for engine in (nodes.near, nodes.far):
            await engine.service.close()

    for _ in range(2):
        asyncio.run(take_over())


async def test_a_store_that_stays_away_is_said_once(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    """A node tries several times a second, and Redis may be away for hours; its return is said once, too."""
    nodes.add()
    cluster, renew, tries = nodes.near.cluster, nodes.near.cluster.renew, list[bool]()

    async def fail() -> Sequence[str]:
        tries.append(len(tries) >= 4)
        if not tries[-1]:
            raise StoreUnavailable("the store is away")
        return await renew()

    cluster.renew = fail  # type: ignore[method-assign]
    await begun(nodes)
    await eventually(lambda: tries.count(True) > 2)
    said = [line for line in caplog.messages if "renew what it holds" in line]
    assert said == [
        f"node {cluster.node} cannot renew what it holds: the store is away",
        f"node {cluster.node} can renew what it holds again",
    ]


async def test_a_start_that_nobody_waits_for_any_more_fails_in_silence(
    single: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is stopped while its store is away ends as if it had never begun."""
    away = asyncio.Event()

    async def fail() -> Sequence[StreamRecord]:
        await away.wait()
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(single.store, "open", fail)
    node = single.service.node
    waiting = asyncio.create_task(node.open())
    await eventually(lambda: node._opening is not None)
    await stopped(waiting)
    away.set()
    await eventually(lambda: node._opening.done())  # type: ignore[union-attr]
    node._opening = None
    gc.collect()
    assert caplog.messages == []
