from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from eventually_kit import eventually
from redis_kit import RedisServer
from redis_topics_kit import ROOM, Losing, Nodes, Reader, event, exists, read

from tidegate.core.notices import Gap
from tidegate.core.topic import topic_id
from tidegate.errors import StorageFull, StoreUnavailable, StreamNotFound
from tidegate.stores.records import Claim
from tidegate.stores.redis.publishing import PUBLISH
from tidegate.stores.redis.store import RedisStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def nodes(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Nodes]:
    nodes = Nodes(redis_server)
    yield nodes
    await nodes.close()


async def test_any_node_publishes_to_the_readers_of_all(nodes: Nodes) -> None:
    """Every reader, at whichever node, sees the events of all nodes once and in one order."""
    near, far = await nodes.add(), await nodes.add()
    begin = await near.open_topic(ROOM)
    assert await far.open_topic(ROOM) == begin
    readers = [Reader(node, begin) for node in (near, far)]
    for turn in range(20):
        await asyncio.gather(*(node.publish(ROOM, event(f"{name} {turn}")) for name, node in (("n", near), ("f", far))))
    await eventually(lambda: [len(reader.seen) for reader in readers] == [40, 40])
    assert readers[0].seen == readers[1].seen == await read(near, begin)
    assert sorted(map(str, readers[0].seen)) == sorted(f"{name} {turn}" for name in "nf" for turn in range(20))
    assert [reader.gaps for reader in readers] == [[], []]
    for reader in readers:
        await reader.close()


async def test_readers_at_the_tail_cost_redis_nothing(nodes: Nodes) -> None:
    """Their node hears of each event once, and serves all of them from its memory, in the callback that wakes them."""
    near, far = await nodes.add(), await nodes.add()
    at = await far.open_topic(ROOM)
    heard: list[int] = []

    def wake() -> None:
        found = far.read(ROOM, at, limit=512, max_bytes=1 << 16)
        assert not isinstance(found, Future | Gap)
        heard.append(len(found.entries))

    for _ in range(100):
        far.watch(ROOM, wake)
    await eventually(lambda: not isinstance(far.read(ROOM, at, limit=9, max_bytes=99), Future))
    reads = far.shards._shard.reads.sent  # type: ignore[attr-defined]
    for n in range(10):
        await near.publish(ROOM, event(n))
    await eventually(lambda: heard.count(10) == 100)
    assert far.shards._shard.reads.sent == reads  # type: ignore[attr-defined]


async def test_large_events_are_read_rather_than_broadcast(nodes: Nodes) -> None:
    """An event that is too large for the news reaches the readers of other nodes all the same, in its order."""
    near, far = await nodes.add(), await nodes.add()
    reader = Reader(far, await far.open_topic(ROOM))
    data = ["small", "x" * 20_000, "y" * 200_000, "small again"]
    for each in data:
        await near.publish(ROOM, event(each))
    await eventually(lambda: reader.seen == data)
    await reader.close()


async def test_a_batch_that_is_sent_again_is_published_once(nodes: Nodes) -> None:
    """Its answer was lost with a connection: the node gets the same one; an older batch is refused."""
    node = await nodes.add()
    sent: list[tuple[object, ...]] = []
    ask = node.shards.ask

    def noted(key: str, command: tuple[object, ...], *, within: float) -> Future[object]:
        sent.append(command)
        return ask(key, command, within=within)  # type: ignore[arg-type]

    node.shards.ask = noted  # type: ignore[method-assign,assignment]
    first = await node.publish(ROOM, event("first"))
    second = await node.publish(ROOM, event("second"))
    batches = [each for each in sent if each[1] == PUBLISH((), 1)[1]]
    results, _ = await ask("", batches[-1], within=2)  # type: ignore[arg-type]
    assert results == [str(second).encode()]
    with pytest.raises(StoreUnavailable):
        await ask("", batches[0], within=2)  # type: ignore[arg-type]
    assert await read(node, first) == ["second"]


async def test_a_key_is_good_at_every_node(nodes: Nodes) -> None:
    """A publisher that repeats itself elsewhere is told the first event's position, and nobody sees it twice."""
    near, far = await nodes.add(), await nodes.add()
    claim = Claim("k", b"\n\x00digest")
    first = await near.publish(ROOM, event("a", at=1.0), claim=claim)
    assert await far.publish(ROOM, event("a", at=2.0), claim=claim) == first
    assert await read(far, None) == ["a"]


async def test_what_another_node_watches_is_kept(nodes: Nodes) -> None:
    """However old it is: Redis itself knows who listens. Once nobody does it goes, with its charges and its keys."""
    near, far = await nodes.add(), await nodes.add()
    await near.publish(ROOM, event("old", at=100.0), claim=Claim("k", b""))
    await far.open_topic(ROOM)
    unwatch = far.watch(ROOM, lambda: None)
    await eventually(lambda: nodes.listeners() == 1)
    assert await near.expire(500.0) == 0
    assert await read(near, None) == ["old"]
    unwatch()
    await eventually(lambda: nodes.listeners() == 0)
    assert await near.expire(500.0) == 1
    with pytest.raises(StreamNotFound):
        await read(near, None)
    with nodes.server.client() as client:
        assert [key for key in client.keys("*") if "published" not in key] == []


async def test_everything_of_a_topic_has_an_end(nodes: Nodes) -> None:
    """Should no node be there to forget it, Redis does."""
    node = await nodes.add()
    await node.publish(ROOM, event("a", state=True), claim=Claim("k", b""))
    await node.open_topic(topic_id("unused"))
    with nodes.server.client() as client:
        assert len(client.keys("*")) > 6
        assert [key for key in client.keys("*") if client.pttl(key) < 0] == []


async def test_an_account_covers_what_it_has_in_topics(nodes: Nodes) -> None:
    """To within a block for each topic, at any time, with one command for most events; and gets it back."""
    node = await nodes.add(history=10)
    for n in range(100):
        await node.publish(ROOM, event("x" * 100 + str(n)))
    assert 10 * 400 + 2048 < nodes.charged("anna") < 10 * 500 + 2048 + 3 * 8192
    before = node.shards._shard.writes.sent  # type: ignore[attr-defined]
    for _ in range(50):
        await node.publish(ROOM, event("x" * 100))
    assert node.shards._shard.writes.sent - before == 50  # type: ignore[attr-defined]
    for _ in range(10):
        await node.publish(ROOM, event("x", sender="ben"))
    await eventually(lambda: nodes.charged("anna") == 0)


async def test_an_account_that_is_full_is_refused_and_others_are_not(nodes: Nodes) -> None:
    """Where it has nothing that could be forgotten for its event: its only topic is watched, and not only its own."""
    node = await nodes.add(each=20_000)
    await node.publish(ROOM, event("ben's", sender="ben"))
    node.watch(ROOM, lambda: None)
    with pytest.raises(StorageFull):
        await node.publish(ROOM, event("x" * 20_000))
    await node.publish(ROOM, event("ben's, too", sender="ben"))
    assert await read(node, None) == ["ben's", "ben's, too"]


async def test_an_account_may_be_full_to_the_brim(nodes: Nodes) -> None:
    """What was charged ahead for some topics is given back for another one."""
    node = await nodes.add(each=100_000)
    for n in range(8):
        topic = topic_id(str(n))
        await node.open_topic(topic)
        node.watch(topic, lambda: None)
        await node.publish(topic, event("x" * 10_000))
    assert nodes.charged("anna") <= 100_000
    topic = topic_id("more")
    await node.open_topic(topic)
    node.watch(topic, lambda: None)
    with pytest.raises(StorageFull):
        await node.publish(topic, event("x" * 10_000))
    assert await read(node, None, topic=topic_id("0")) == ["x" * 10_000]


async def test_topics_of_ones_own_give_way(nodes: Nodes) -> None:
    """Least lately published to first; where another has published, too, nobody's words are taken."""
    node = await nodes.add(each=60_000)
    await node.publish(topic_id("shared"), event("x" * 10_000))
    await node.publish(topic_id("shared"), event("ben's", sender="ben"))
    for n in range(8):
        await node.publish(topic_id(str(n)), event("x" * 10_000, at=1000.0 + n))
    kept = [n for n in range(8) if await exists(node, topic_id(str(n)))]
    assert kept == list(range(kept[0], 8))
    assert 2 <= len(kept) <= 4
    assert await exists(node, topic_id("shared"))
    assert nodes.charged("anna") <= 60_000


@pytest.fixture
def losing(tmp_path: Path) -> Iterator[Losing]:
    losing = Losing(tmp_path)
    losing.start()
    yield losing
    losing.kill()


async def test_what_redis_loses_is_a_gap_and_never_another_event(losing: Losing) -> None:
    """A lost position is recognised, also where another event has its offset now; all earlier ones stay valid."""
    nodes = Nodes(losing.server)
    node, far = await nodes.add(), await nodes.add()
    kept = [await node.publish(ROOM, event(n)) for n in range(3)]
    reader = Reader(far, await far.open_topic(ROOM))
    losing.remember()
    lost = [await node.publish(ROOM, event(f"lost {n}")) for n in range(3)]
    await eventually(lambda: len(reader.seen) == 3)
    losing.lose()
    found = await read(node, lost[0])
    assert isinstance(found, Gap)
    after = [await node.publish(ROOM, event(f"after {n}")) for n in range(4)]
    assert after[0].offset == lost[0].offset
    assert after[0].epoch == after[3].epoch != lost[0].epoch
    for cursor in lost:
        assert isinstance(await read(node, cursor), Gap)
    assert await read(node, kept[-1]) == [f"after {n}" for n in range(4)]
    assert await read(node, kept[0]) == [1, 2, *(f"after {n}" for n in range(4))]
    await eventually(lambda: reader.seen[-1] == "after 3")
    assert reader.seen == [*(f"lost {n}" for n in range(3)), 0, 1, 2, *(f"after {n}" for n in range(4))]
    assert [gap.asked for gap in reader.gaps] == [lost[-1]]
    await reader.close()
    await nodes.close()


async def test_a_topic_that_redis_has_lost_goes_on_for_its_readers(nodes: Nodes) -> None:
    """They are told of the gap, and see what is published then."""
    near, far = await nodes.add(), await nodes.add()
    await near.publish(ROOM, event("gone"))
    reader = Reader(far, await far.open_topic(ROOM))
    with nodes.server.client() as client:
        client.flushall()
    await near.publish(ROOM, event("new"))
    await eventually(lambda: reader.seen == ["new"])
    assert len(reader.gaps) == 1
    await reader.close()


async def test_nobody_waits_long_for_a_redis_that_is_away(tmp_path: Path) -> None:
    """A publisher is told after `brief_seconds`; readers wait, and go on once it is back."""
    server = RedisServer(tmp_path / "server", {"appendonly": "yes", "appendfsync": "always"})
    server.start()
    nodes = Nodes(server)
    near, far = await nodes.add(brief=0.3), await nodes.add()
    reader = Reader(far, await far.open_topic(ROOM))
    await near.publish(ROOM, event("before"))
    server.kill()
    with pytest.raises(StoreUnavailable):
        await near.publish(ROOM, event("lost"))
    waiting = far.read(ROOM, None, limit=9, max_bytes=99)
    assert isinstance(waiting, Future)
    server.start()
    assert len((await waiting).entries) == 1  # type: ignore[union-attr]
    await eventually(lambda: published(near, "after"))
    await eventually(lambda: reader.seen[-1] == "after")
    assert reader.seen[0] == "before"
    assert reader.gaps == []
    await reader.close()
    await nodes.close()
    server.kill()


async def published(node: RedisStore, data: object) -> bool:
    try:
        await node.publish(ROOM, event(data), claim=Claim("once", b""))
    except StoreUnavailable:
        return False
    return True
