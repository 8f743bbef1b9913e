from __future__ import annotations

import pytest
from eventually_kit import eventually
from redis_topics_kit import ROOM, Nodes, commands_of, event, exists, read

from tidegate.core.topic import topic_id
from tidegate.errors import StorageFull

pytestmark = pytest.mark.anyio


async def test_an_account_covers_what_it_has_in_topics(nodes: Nodes) -> None:
    """To within a block for each topic, at any time, with one command for most events; and gets it back."""
    node = await nodes.add(history=10)
    for n in range(100):
        await node.publish(ROOM, event("x" * 100 + str(n)))
    assert 10 * 400 + 2048 < nodes.charged("anna") < 10 * 500 + 2048 + 3 * 8192
    writes = commands_of(node.shards._shard.writes)  # type: ignore[attr-defined]
    for _ in range(50):
        await node.publish(ROOM, event("x" * 100))
    assert len(writes) == 50
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
        for _ in range(2):
            await node.publish(topic, event("x" * 4_800))
    assert nodes.charged("anna") <= 100_000
    topic = topic_id("more")
    await node.open_topic(topic)
    node.watch(topic, lambda: None)
    with pytest.raises(StorageFull):
        await node.publish(topic, event("x" * 10_000))
    assert await read(node, None, topic=topic_id("0")) == ["x" * 4_800] * 2


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


async def test_a_watched_topic_makes_room_with_the_publishers_own(nodes: Nodes) -> None:
    """Of the history its own oldest events go, up to another's."""
    node = await nodes.add(each=60_000)
    await node.open_topic(ROOM)
    node.watch(ROOM, lambda: None)
    for n in range(12):
        await node.publish(ROOM, event(str(n) + "x" * 10_000))
    record = await node.topic(ROOM)
    assert record.tail.offset == 12
    assert 6 < record.earliest.offset < 10
    await node.publish(topic_id("other"), event("ben's", sender="ben"))
    assert nodes.charged("anna") <= 60_000


async def test_a_state_is_charged_until_it_is_replaced(nodes: Nodes) -> None:
    """What late joiners get outlives the history, and is its publisher's as long."""
    node = await nodes.add(history=10)
    await node.publish(ROOM, event("x" * 20_000, state=True))
    for _ in range(12):
        await node.publish(ROOM, event("b", sender="ben"))
    assert nodes.charged("anna") > 20_000
    await node.publish(ROOM, event("b", sender="ben", state=True))
    await eventually(lambda: nodes.charged("anna") == 0)


async def test_what_nobody_watches_any_more_can_give_way(nodes: Nodes) -> None:
    """An account that was full of watched topics has room again, from the next sweep on."""
    node = await nodes.add(each=30_000)
    await node.publish(ROOM, event("x" * 20_000))
    unwatch = node.watch(ROOM, lambda: None)
    other = topic_id("other")
    with pytest.raises(StorageFull):
        await node.publish(other, event("x" * 20_000))
    unwatch()
    await eventually(lambda: nodes.listeners() == 0)
    await node.expire(0.0)
    await node.publish(other, event("x" * 20_000))
    assert (await exists(node, ROOM), await exists(node, other)) == (False, True)
