from __future__ import annotations

import asyncio
from asyncio import Future

import pytest
from eventually_kit import eventually
from redis_topics_kit import ROOM, Nodes, Reader, commands_of, event, read

from tidegate.core.cursor import Cursor
from tidegate.core.notices import Gap
from tidegate.core.topic import topic_id
from tidegate.errors import StoreUnavailable, StreamNotFound
from tidegate.stores.records import Claim
from tidegate.stores.redis.topics.publishing import PUBLISH

pytestmark = pytest.mark.anyio


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
    reads = commands_of(far.shards._shard.reads)  # type: ignore[attr-defined]
    for n in range(10):
        await near.publish(ROOM, event(n))
    await eventually(lambda: heard.count(10) == 100)
    assert not reads


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


async def test_broken_connections_double_and_reorder_nothing(nodes: Nodes) -> None:
    """However often they break: what a publisher is told of is there once, in the order of its calls."""
    near, far = await nodes.add(), await nodes.add()
    reader = Reader(far, await far.open_topic(ROOM))
    answers: list[Future[Cursor]] = []
    with nodes.server.client() as client:
        for n in range(150):
            answers.append(near.publish(ROOM, event(n, sender=f"{n % 3}")))
            if n % 15 == 14:
                await answers[-10]
                client.client_kill_filter(_type="pubsub" if n % 2 else "normal", skipme=True)
    offsets = [(await each).offset for each in answers]
    assert offsets == list(range(1, 151))
    await eventually(lambda: reader.seen == list(range(150)))
    assert reader.gaps == []
    await reader.close()


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
        assert [key for key in client.keys("*") if "published" not in key] == [near.keys.layout]


async def test_everything_of_a_topic_has_an_end(nodes: Nodes) -> None:
    """Should no node be there to forget it, Redis does."""
    node = await nodes.add()
    await node.publish(ROOM, event("a", state=True), claim=Claim("k", b""))
    await node.open_topic(topic_id("unused"))
    with nodes.server.client() as client:
        assert len(client.keys("*")) > 6
        assert [key for key in client.keys("*") if client.pttl(key) < 0] == []
