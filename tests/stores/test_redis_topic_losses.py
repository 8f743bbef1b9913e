from __future__ import annotations

from asyncio import Future
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually_kit import eventually
from redis_kit import RedisServer
from redis_topics_kit import ROOM, Losing, Nodes, Reader, event, read

from tidegate.core.notices import Gap
from tidegate.errors import StoreUnavailable
from tidegate.stores.records import Claim
from tidegate.stores.redis.store import RedisStore

pytestmark = pytest.mark.anyio


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
