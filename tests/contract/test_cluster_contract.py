"""One suite over all clusters: what `stores/cluster.py` promises, between two nodes over one store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from clock_kit import Clock
from eventually_kit import eventually

from tidegate.core.events import Started
from tidegate.stores.cluster import MAX_ANSWER_BYTES, Cancel, Cluster, Command
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.link.shards_at import shards_at
from tidegate.stores.redis.nodes.node import RedisNode
from tidegate.stores.redis.url import parse

pytestmark = pytest.mark.anyio

LEASE = 5.0


class Pair:
    """Two nodes in one process, or two with a connection each to the Redis at `url`; and the store's clock."""

    near: Cluster
    far: Cluster

    def __init__(self, url: str) -> None:
        self.clock = Clock(1000.0)
        self.store = MemoryStore(max_generation_bytes=1000, clock=self.clock)
        self._url = url
        self._shards: list[Shards] = []

    async def join(self, name: str) -> Cluster:
        """Another node."""
        if not self._url:
            return self.store.join(name, LEASE)
        its = shards_at(parse(self._url))
        self._shards.append(its)
        await its.open()
        node = RedisNode(its, Keys("tidegate"), name, LEASE, self.store.look, released=str, clock=self.clock)
        await node.renew()
        return node

    async def create(self, stream: str) -> str:
        record = StreamRecord(id=stream, owner="anna", model="m", created_at=0.0)
        fence = await self.store.create(record, [Started(stream, "m", 0.0)])
        assert isinstance(fence, Fence)
        return stream

    async def pass_time(self, seconds: float, *living: Cluster) -> None:
        """Those that live renew meanwhile."""
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            for node in living:
                await node.renew()

    async def told(self, by: Cluster) -> None:
        """Waits until the other node knows what `by` has said of streams."""
        heard: list[Command] = []
        unlisten = (self.near if by is self.far else self.far).listen(heard.append)
        by.tell(Cancel("gen_0", "client"))
        await eventually(lambda: heard)
        unlisten()

    async def close(self) -> None:
        for its in self._shards:
            await its.close()


@pytest.fixture(params=["local", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("redis_url") if request.param == "redis" else ""


@pytest.fixture
async def pair(url: str) -> AsyncIterator[Pair]:
    pair = Pair(url)
    pair.near, pair.far = await pair.join("near"), await pair.join("far")
    await eventually(lambda: pair.near.others)
    yield pair
    await pair.close()


async def offered(node: Cluster, count: int) -> list[str]:
    """The streams that a node is offered: so many, or for a moment, if none is expected."""
    found: list[str] = []

    async def take() -> None:
        async for orphan in node.orphans():
            found.append(orphan.record.id)
            if len(found) == count:
                return

    task = asyncio.create_task(take())
    await asyncio.wait((task,), timeout=10 if count else 0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return sorted(found)


async def test_they_know_of_each_other(pair: Pair) -> None:
    """Until one leaves."""
    assert (pair.near.others, pair.far.others) == (1, 1)
    await pair.far.leave()
    await eventually(lambda: (pair.near.others, pair.far.others) == (0, 1))


async def test_the_last_node_of_a_store_closes_it(pair: Pair) -> None:
    """One that shares its store with another leaves it open; over Redis each node has a store of its own."""
    assert pair.near.is_last == isinstance(pair.near, RedisNode)
    await pair.far.leave()
    assert pair.near.is_last


async def test_who_retires_succeeds_nobody(pair: Pair) -> None:
    """It is there all the same; and may be a successor again once it has left and renews."""
    assert (pair.near.successors, pair.far.successors) == (1, 1)
    pair.far.retire()
    await eventually(lambda: (pair.near.others, pair.near.successors, pair.far.successors) == (1, 0, 1))
    await pair.far.leave()
    await pair.far.renew()
    await eventually(lambda: pair.near.successors == 1)


async def test_orphans_are_counted(pair: Pair) -> None:
    """Until a node has been offered them."""
    pair.far.hold(await pair.create("gen_1"))
    await pair.told(pair.far)
    assert (pair.near.orphaned, pair.far.orphaned) == (0, 0)
    await pair.far.hand_over("gen_1")
    await eventually(lambda: (pair.near.orphaned, pair.far.orphaned) == (1, 1))
    assert await offered(pair.near, 1) == ["gen_1"]
    await eventually(lambda: (pair.near.orphaned, pair.far.orphaned) == (0, 0))


async def test_a_command_reaches_the_others(pair: Pair) -> None:
    """And not whoever has told it; who listens no more hears no more."""
    near: list[Command] = []
    far: list[Command] = []
    also: list[Command] = []
    pair.near.listen(near.append)
    unlisten = pair.far.listen(far.append)
    pair.far.listen(also.append)
    pair.near.tell(Cancel("gen_1", "client", "enough"))
    await eventually(lambda: also)
    assert (near, far) == ([], [Cancel("gen_1", "client", "enough")])
    unlisten()
    pair.near.tell(Cancel("gen_2", "client"))
    await eventually(lambda: len(also) == 2)
    assert len(far) == 1


async def test_the_others_are_asked_and_each_answers_for_itself(pair: Pair) -> None:
    """Whoever asks is not asked itself; who listens no more, or has left, does not answer."""
    third = await pair.join("third")
    await eventually(lambda: (pair.near.others, third.others) == (2, 2))
    asked: list[bytes] = []
    unlisten = pair.far.answer(lambda question: b"far: " + question)
    third.answer(lambda question: b"third: " + question)
    pair.near.answer(lambda question: asked.append(question) or b"near: " + question)

    async def all_answer() -> bool:
        return dict(await pair.near.ask(b"who?")) == {"far": b"far: who?", "third": b"third: who?"}

    # A node that is known may not hear yet.
    await eventually(all_answer)
    assert asked == []
    unlisten()
    assert dict(await third.ask(b"you?")) == {"near": b"near: you?"}
    await third.leave()
    await eventually(lambda: pair.near.others == 1)
    assert dict(await pair.near.ask(b"and now?")) == {}


async def test_who_cannot_answer_is_missing(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """One that fails, which is logged, and one that says too much do not keep the others' answers from coming."""
    third = await pair.join("third")
    await eventually(lambda: pair.near.others == 2)
    third.answer(lambda question: question)

    def fail(_: bytes) -> bytes:
        raise ValueError

    pair.far.answer(fail)

    async def the_other_answers() -> bool:
        return dict(await pair.near.ask(b"who?")) == {"third": b"who?"}

    with caplog.at_level(logging.ERROR):
        # A node that is known may not hear yet.
        await eventually(the_other_answers)
    assert "could not answer" in caplog.text
    pair.far.answer(lambda question: bytes(MAX_ANSWER_BYTES + len(question)))
    assert dict(await pair.near.ask(b"who?")) == {"third": b"who?"}
    assert "far" in await pair.near.ask(b"")


async def test_counts_are_of_all_nodes(pair: Pair) -> None:
    """Each member's are added up; whoever watches is woken by either node's change."""
    woken: list[int] = []

    def wake() -> None:
        woken.append(pair.near.total("present", "room"))

    pair.near.watch("present", "room", wake)
    pair.near.add("present", "room", 2, "anna")
    assert woken == [2]
    pair.far.add("present", "room", 1, "anna")
    await eventually(lambda: woken == [2, 3])
    pair.far.add("present", "room", 1, "bert")
    await eventually(lambda: woken == [2, 3, 4])
    assert dict(pair.near.counts("present", "room")) == {"anna": 3, "bert": 1}
    pair.near.unwatch("present", "room", wake)
    pair.far.add("present", "room", -1, "bert")
    await eventually(lambda: dict(pair.near.counts("present", "room")) == {"anna": 3})
    assert len(woken) == 3
    assert pair.near.total("present", "hall") == 0


async def test_what_changes_together_is_seen_together(pair: Pair) -> None:
    """A departure, and the mark that excuses it: another node must not take the one for the other."""
    seen: list[tuple[int, int]] = []
    pair.far.add("owner readers", "gen_1", 1)
    await eventually(lambda: pair.near.total("owner readers", "gen_1") == 1)

    def look() -> None:
        counts = pair.near.counts("owner readers", "gen_1")
        seen.append((counts.get("", 0), counts.get("excused", 0)))

    pair.near.watch("owner readers", "gen_1", look)
    pair.far.add("owner readers", "gen_1", 1, "excused")
    pair.far.add("owner readers", "gen_1", -1)
    await eventually(lambda: seen and seen[-1] == (0, 1))
    assert (0, 0) not in seen


@pytest.mark.parametrize("how", ["leaves", "dies"])
async def test_a_nodes_counts_go_with_it(pair: Pair, how: str) -> None:
    """At once where it says so, else with its lease; one that was only paused has them again."""
    woken: list[int] = []
    pair.far.add("owner readers", "gen_1", 1)
    await eventually(lambda: pair.near.total("owner readers", "gen_1") == 1)
    pair.near.watch("owner readers", "gen_1", lambda: woken.append(pair.near.total("owner readers", "gen_1")))
    if how == "leaves":
        await pair.far.leave()
    else:
        await pair.pass_time(LEASE - 1, pair.near)
        assert pair.near.total("owner readers", "gen_1") == 1
        await pair.pass_time(2, pair.near)
    await eventually(lambda: woken == [0])
    await pair.far.renew()
    await eventually(lambda: woken == [0, 1])


async def test_what_a_dead_node_held_is_an_orphan(pair: Pair) -> None:
    """It is offered to the one that lives as soon as the lease is over, and not before; the dead one has lost it."""
    pair.far.hold(await pair.create("gen_1"))
    await pair.told(pair.far)
    await pair.pass_time(LEASE - 1, pair.near)
    assert await offered(pair.near, 0) == []
    await pair.pass_time(2, pair.near)
    assert await offered(pair.near, 1) == ["gen_1"]
    assert list(await pair.far.renew()) == ["gen_1"]


async def test_an_orphan_is_offered_to_one(pair: Pair) -> None:
    """Else two would pay for it. A node that comes later is offered what nobody has taken."""
    third = await pair.join("third")
    pair.near.hold(await pair.create("gen_1"))
    await pair.near.hand_over("gen_1")
    assert [await offered(pair.far, 1), await offered(third, 0)] == [["gen_1"], []]
    pair.far.hold(await pair.create("gen_2"))
    for node in (pair.far, pair.near, third):
        await node.leave()
    assert await offered(await pair.join("later"), 2) == ["gen_1", "gen_2"]


async def test_what_another_holds_is_lost(pair: Pair) -> None:
    """A node is told which of its streams another has taken; one that it let go of is none of them."""
    stream = await pair.create("gen_1")
    pair.near.hold(stream)
    pair.near.let_go("gen_1")
    await pair.told(pair.near)
    pair.far.hold(stream)
    await pair.told(pair.far)
    assert list(await pair.near.renew()) == []
    pair.near.hold(stream)
    await pair.told(pair.near)
    assert list(await pair.far.renew()) == ["gen_1"]
    assert list(await pair.far.renew()) == []


async def test_what_has_come_back_is_not_lost(pair: Pair) -> None:
    """A stream that was another's for a moment, and is this node's again, is nobody else's."""
    stream = await pair.create("gen_1")
    for node in (pair.near, pair.far, pair.near):
        node.hold(stream)
        assert node.holds("gen_1")
        await pair.told(node)
    assert not pair.far.holds("gen_1")
    assert list(await pair.near.renew()) == []
    assert list(await pair.far.renew()) == ["gen_1"]


async def test_who_was_taken_for_dead_is_offered_what_is_left(pair: Pair) -> None:
    """Where no other has taken it."""
    pair.near.hold(await pair.create("gen_1"))
    await pair.told(pair.near)
    await pair.pass_time(LEASE + 1, pair.far)
    await pair.far.leave()
    await pair.near.renew()
    assert await offered(pair.near, 1) == ["gen_1"]


async def test_they_take_from_the_same_buckets(pair: Pair) -> None:
    """What one node has let through is not let through by the other."""
    near, far = (node.buckets("requests", 1.0, 2) for node in (pair.near, pair.far))
    assert near.of("anna", 0.0).take(1, 0.0)
    await pair.told(pair.near)
    assert far.of("anna", 0.0).take(1, 0.0)
    await eventually(lambda: not far.of("anna", 0.0).take(1, 0.0))
    assert pair.near.buckets("failures", 1.0, 2).of("anna", 0.0).take(1, 0.0)


async def test_who_holds_a_stream_lives(pair: Pair) -> None:
    """Also where it was taken for dead before: should it be dead by then, that is found out again."""
    await pair.pass_time(LEASE + 1, pair.near)
    await eventually(lambda: pair.near.others == 0)
    pair.far.hold(await pair.create("gen_1"))
    await eventually(lambda: pair.near.others == 1)
    await pair.pass_time(LEASE + 1, pair.near)
    assert await offered(pair.near, 1) == ["gen_1"]


async def test_who_has_left_holds_nothing(pair: Pair) -> None:
    """What it was about to create is an orphan, and it does not live again for that; it does once it renews."""
    await pair.far.leave()
    pair.far.hold(await pair.create("gen_1"))
    await eventually(lambda: (pair.near.others, pair.far.holds("gen_1")) == (0, False))
    assert await offered(pair.near, 1) == ["gen_1"]
    pair.far.hold("gen_1")
    await pair.told(pair.far)
    assert pair.near.holds("gen_1")
    await pair.far.renew()
    pair.far.hold("gen_1")
    await eventually(lambda: (pair.near.others, pair.far.holds("gen_1")) == (1, True))
