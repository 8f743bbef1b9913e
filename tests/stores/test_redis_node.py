"""What is Redis' own of the cluster: broken connections, lost messages, and a Redis that was away or has forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from clock_kit import Clock
from eventually_kit import eventually
from redis_kit import RedisServer

from tidegate.core.cursor import Cursor
from tidegate.errors import StoreUnavailable, StreamNotFound
from tidegate.stores.records import Look, StreamRecord
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.link.shards_at import shards_at
from tidegate.stores.redis.nodes import node as node_module
from tidegate.stores.redis.nodes.buckets import TAKE
from tidegate.stores.redis.nodes.holdings import CLAIM_ORPHANS
from tidegate.stores.redis.nodes.messages import Lost, encode
from tidegate.stores.redis.nodes.node import RedisNode
from tidegate.stores.redis.script import Command
from tidegate.stores.redis.url import parse

pytestmark = pytest.mark.anyio

LEASE = 5.0

KEYS = Keys("tidegate")


class Nodes:
    """Nodes with a connection each to one Redis, and the clock of all. Streams that begin with `gone` do not exist."""

    def __init__(self, url: str) -> None:
        self.clock = Clock(1000.0)
        self.shards: dict[RedisNode, Shards] = {}
        self._url = url

    async def join(self, name: str) -> RedisNode:
        its = shards_at(parse(self._url))
        await its.open()
        node = RedisNode(its, KEYS, name, LEASE, self.look, released=str, clock=self.clock)
        self.shards[node] = its
        await node.renew()
        return node

    async def pair(self) -> tuple[RedisNode, RedisNode]:
        near, far = await self.join("near"), await self.join("far")
        await eventually(lambda: near.others)
        return near, far

    async def look(self, stream: str) -> Look:
        if stream.startswith("gone"):
            raise StreamNotFound(stream)
        return Look(StreamRecord(id=stream, owner="anna", model="m", created_at=0.0), Cursor("a", 1))

    async def close(self) -> None:
        for its in self.shards.values():
            await its.close()


@pytest.fixture
async def nodes(redis_url: str) -> AsyncIterator[Nodes]:
    nodes = Nodes(redis_url)
    yield nodes
    await nodes.close()


async def offered(node: RedisNode, count: int) -> list[str]:
    """The first streams that a node is offered; it takes no more."""
    found: list[str] = []
    orphans = node.orphans()
    async with asyncio.timeout(10):
        while len(found) < count:
            found.append((await anext(orphans)).record.id)
    await orphans.aclose()
    return found


async def test_nobody_is_dead_before_redis_has_answered_for_a_lease(nodes: Nodes) -> None:
    """All leases were over while it was away: who renews first must not take the others' streams."""
    near, far = await nodes.pair()
    far.hold("gen_1")
    nodes.clock.now += 100
    for _ in range(int(LEASE)):
        await near.renew()
        assert (near.others, near.orphaned) == (1, 0)
        nodes.clock.now += 1
    await near.renew()
    await eventually(lambda: (near.others, near.orphaned) == (0, 1))


async def test_a_node_that_was_paused_takes_nobody_for_dead(nodes: Nodes) -> None:
    """It does not know whether the others could renew meanwhile."""
    near, far = await nodes.pair()
    for _ in range(int(LEASE) + 1):
        nodes.clock.now += 1
        await near.renew()
        await far.renew()
    nodes.clock.now += LEASE
    await near.renew()
    assert near.others == 1


async def test_a_burial_that_comes_late_buries_nobody(nodes: Nodes) -> None:
    """Redis was away since it was asked for: who was dead then may have come back, and could not renew."""
    near, _ = await nodes.pair()
    nodes.clock.now += 100
    await near._lease.bury("far")
    await near._members.look()
    assert near.others == 1


async def test_what_was_lost_unheard_is_lost_all_the_same(nodes: Nodes) -> None:
    """The news that another node has taken a stream may come while the connection is broken."""
    near, far = await nodes.pair()
    near.hold("gen_1")
    near.hold("gen_2")
    await near.settled(within=1)
    await nodes.shards[near].ask(KEYS.held, ("PING",), within=1)
    nodes.shards[near].ignore(KEYS.news)
    far.hold("gen_1")
    await nodes.shards[far].ask(KEYS.held, ("PING",), within=1)
    nodes.shards[near].listen(KEYS.news, near)
    await eventually(lambda: not near.holds("gen_1"))
    assert near.holds("gen_2")
    assert list(await near.renew()) == ["gen_1"]


async def test_late_news_of_an_earlier_hold_loses_nothing(nodes: Nodes) -> None:
    """The node has taken the stream again since."""
    near = await nodes.join("near")
    near.hold("gen_1")
    near.hold("gen_1")
    near.heard(encode(Lost("near", "gen_1", 1)))
    assert near.holds("gen_1")
    near.heard(encode(Lost("near", "gen_1", 2)))
    assert not near.holds("gen_1")


async def test_what_redis_holds_for_a_node_that_does_not_know_it_is_an_orphan(nodes: Nodes) -> None:
    """A failover may have lost that it was let go: nobody would fill it, or end it."""
    near, far = await nodes.pair()
    its = nodes.shards[near]
    await its.ask(KEYS.held, ("HSET", KEYS.held, "gen_1", "1:near"), within=1)
    await its.ask(KEYS.held, ("SADD", KEYS.held_by("near"), "gen_1"), within=1)
    its.ignore(KEYS.news)
    its.listen(KEYS.news, near)
    assert await offered(far, 1) == ["gen_1"]


async def test_what_redis_has_forgotten_is_said_again(nodes: Nodes, redis_server: RedisServer) -> None:
    """It lost it in a failover, or has no file: what nodes hold and count is still true."""
    near, far = await nodes.pair()
    near.hold("gen_1")
    near.add("readers", "gen_1", 3)
    await eventually(lambda: far.total("readers", "gen_1") == 3)
    redis_server.flush()
    assert list(await near.renew()) == []
    await far.renew()
    third = await nodes.join("third")
    await eventually(lambda: third.total("readers", "gen_1") == 3)
    assert near.holds("gen_1")
    assert await nodes.shards[near].ask(KEYS.held, ("HGET", KEYS.held, "gen_1"), within=1) == b"1:near"
    await near.leave()
    assert await offered(far, 1) == ["gen_1"]


async def test_a_message_that_is_missed_is_read(nodes: Nodes) -> None:
    """Whether nothing was heard for a while, or one message is missing."""
    near, far = await nodes.pair()
    far.add("present", "room", 1, "anna")
    await eventually(lambda: near.total("present", "room") == 1)
    nodes.shards[near].ignore(KEYS.news)
    far.add("present", "room", 1, "bert")
    await eventually(lambda: redis_has(nodes, far, 2))
    nodes.shards[near].listen(KEYS.news, near)
    await eventually(lambda: dict(near.counts("present", "room")) == {"anna": 1, "bert": 1})
    far._counts._own._sequence += 1
    far.add("present", "room", -1, "anna")
    await eventually(lambda: dict(near.counts("present", "room")) == {"bert": 1})


async def redis_has(nodes: Nodes, node: RedisNode, parts: int) -> bool:
    """Whether Redis has so many parts of the node."""
    key = KEYS.counts(node.node)
    return await nodes.shards[node].ask(key, ("HLEN", key), within=1) == parts + 1


async def test_orphans_that_were_claimed_in_vain_are_offered_again(nodes: Nodes) -> None:
    """A node claims a few at a time; what it has not been offered when it stops is for others. Each is offered once,
    and one that does not exist any more to nobody."""
    near, far = await nodes.pair()
    streams = [f"gen_{number}" for number in range(20)]
    for stream in (*streams, "gone_1"):
        far.hold(stream)
        await far.hand_over(stream)
    await eventually(lambda: near.orphaned == 21)
    first = await offered(near, 3)
    assert sorted(first + await offered(far, 17)) == sorted(streams)
    await eventually(lambda: (near.orphaned, far.orphaned) == (0, 0))


async def test_a_claim_that_is_given_up_is_undone(nodes: Nodes) -> None:
    """Its answer may come when nobody waits for it any more."""
    near, far = await nodes.pair()
    far.hold("gen_1")
    await far.hand_over("gen_1")
    await eventually(lambda: near.orphaned == 1)
    claiming = asyncio.create_task(near._holdings.claim({"gen_1": True}))
    await asyncio.sleep(0)
    claiming.cancel()
    assert await offered(far, 1) == ["gen_1"]
    assert not near.holds("gen_1")


def claim_of(node: str, number: int, stream: str) -> Command:
    keys = (KEYS.held, KEYS.held_by(node), KEYS.orphans, KEYS.living)
    return CLAIM_ORPHANS(keys, "PUBLISH", KEYS.news, node, number, round(LEASE * 1000), 1_000_000, stream)


async def test_what_is_claimed_for_a_node_that_has_left_is_an_orphan_once_more(nodes: Nodes) -> None:
    """A connection that breaks while the node leaves repeats the claim, and no answer reaches the node any more."""
    near, far = await nodes.pair()
    near.hold("gen_1")
    await near.hand_over("gen_1")
    await eventually(lambda: far.orphaned == 1)
    await near.leave()
    claim = claim_of("near", 7, "gen_1")
    assert await nodes.shards[far].ask(KEYS.held, claim, within=1) == [b"gen_1"]
    for _ in range(int(LEASE) + 2):
        nodes.clock.now += 1
        await far.renew()
    assert await offered(far, 1) == ["gen_1"]


async def test_what_a_broken_connection_repeats_is_harmless(nodes: Nodes) -> None:
    """A claim is the node's own, and an amount is taken once."""
    near = await nodes.join("near")
    near.hold("gen_1")
    await near.hand_over("gen_1")
    ask = nodes.shards[near].ask
    claim = claim_of("third", 7, "gen_1")
    assert [await ask(KEYS.held, claim, within=1) for _ in range(2)] == [[b"gen_1"], [b"gen_1"]]
    assert await ask(KEYS.held, claim_of("far", 8, "gen_1"), within=1) == []
    bucket = KEYS.bucket("requests", "anna")
    take = TAKE((bucket,), "near", 1, 1.0, 10.0, 3.0, 1000)
    assert [float(await ask(bucket, take, within=1)) for _ in range(2)] == [7.0, 7.0]
    refilled = TAKE((bucket,), "near", 2, 1.0, 10.0, 1.0, 3500)
    assert float(await ask(bucket, refilled, within=1)) == 8.5
    assert 0 < await ask(bucket, ("PTTL", bucket), within=1) <= 1501


async def test_while_redis_is_away_the_last_word_waits(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often streams come and go and counts change: what waits is as much as there is in the end."""
    monkeypatch.setattr(node_module, "LEAVE_SECONDS", 0.05)
    nodes = Nodes(server.url)
    near = await nodes.join("near")
    its = nodes.shards[near]
    near.hold("gen_0")
    await its.ask(KEYS.held, ("PING",), within=1)
    server.kill()
    near.add("readers", "gen_1", 1)
    await eventually(lambda: its.health.since is not None)
    for number in range(100):
        near.hold(f"gen_{number}")
        near.let_go(f"gen_{number}")
        near.add("readers", "gen_2", 1)
    near.hold("gen_kept")
    assert list(near._holdings._late) == ["gen_0", "gen_kept"]
    with pytest.raises(StoreUnavailable):
        await near.settled(within=0.05)
    server.start()
    await near.settled(within=10)
    await near.renew()
    assert await its.ask(KEYS.held, ("HGETALL", KEYS.held), within=1) == [b"gen_kept", b"102:near"]
    far = await nodes.join("far")
    await eventually(lambda: far.total("readers", "gen_2") == 100)
    server.kill()
    near.add("readers", "gen_1", 1)
    await eventually(lambda: its.health.since is not None)
    async with asyncio.timeout(20):
        await near.leave()
    await nodes.close()


async def test_nodes_that_have_left_leave_nothing(nodes: Nodes) -> None:
    """No key but those of streams that somebody has to end."""
    near, far = await nodes.pair()
    for node in (near, far):
        node.hold(f"gen_{node.node}")
        node.add("readers", "gen_1", 1)
        node.retire()
    await eventually(lambda: near.total("readers", "gen_1") == 2)
    far.let_go("gen_far")
    await far.leave()
    await near.leave()
    assert await nodes.shards[near].ask(KEYS.held, ("KEYS", "*"), within=1) == [KEYS.orphans.encode()]


async def test_over_time_two_nodes_let_through_what_one_would(nodes: Nodes) -> None:
    """Twenty callers ask for ten times their limit at both: they get it, within one percent."""
    both = await nodes.pair()
    rate, capacity, seconds, step = 400.0, 100.0, 2.0, 0.005
    limit = capacity + rate * seconds
    buckets = [node.buckets("requests", rate, capacity) for node in both]
    began, let_through = nodes.clock.now, 0
    while nodes.clock.now < began + seconds:
        for caller in range(20):
            let_through += buckets[caller % 2].of("anna", nodes.clock.now).take(1, nodes.clock.now)
        # What was taken is told in the next turn of the loop.
        await asyncio.sleep(0)
        for its in nodes.shards.values():
            await its.ask(KEYS.held, ("PING",), within=1)
        nodes.clock.now += step
    assert abs(let_through - limit) <= limit / 100


async def test_the_log_says_who_has_died(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    """Operators know nodes by names that nobody has given; each says its own when it starts."""
    caplog.set_level("INFO", "tidegate.stores")
    near, _ = await nodes.pair()
    for _ in range(round(3 * LEASE)):
        nodes.clock.now += 1
        await near.renew()
    assert [line for line in caplog.messages if "append-only" not in line] == [
        "taken for dead, since they renew their leases no more: far",
    ]
