from __future__ import annotations

import asyncio
from asyncio import Future

import pytest
from eventually_kit import eventually

from tidegate.core.cursor import Cursor
from tidegate.core.log import Entry, Log, Page
from tidegate.core.notices import Gap
from tidegate.stores.records import Found
from tidegate.stores.redis.topics.watched import WatchedTopic

pytestmark = pytest.mark.anyio


class Redis:
    """What Redis has of one topic; it answers once `goes_on` is set."""

    def __init__(self) -> None:
        self.log = Log("aaaa")
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.reads = 0

    def publish(self, count: int = 1) -> Entry:
        """Adds events, and returns the last one."""
        for _ in range(count):
            self.log.append([b"%d" % (self.log.tail + 1)])
        return entries(self.log.read(self.log.at(self.log.tail - 1), limit=1, max_bytes=99))[0]

    def lose(self, tail: int) -> None:
        """Loses what follows the offset; what is published then is in another epoch."""
        kept = entries(self.log.read(None, limit=tail, max_bytes=99))
        self.log = Log.restore(self.log.epochs, kept)
        self.log.begin_epoch("bbbb")

    async def found(self, topic: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        self.reads += 1
        found = self.log.read(after, limit=limit, max_bytes=max_bytes)
        await self.goes_on.wait()
        return found

    async def reopened(self, topic: str) -> Cursor:
        return self.log.cursor


def entries(found: Found) -> list[Entry]:
    assert isinstance(found, Page)
    return list(found.entries)


async def read(watched: WatchedTopic, after: Cursor) -> list[int] | Gap:
    answer = watched.read(after, limit=99, max_bytes=999)
    found = await answer if isinstance(answer, Future) else answer
    return found if isinstance(found, Gap) else [entry.offset for entry in found.entries]


async def watching(redis: Redis) -> WatchedTopic:
    """A topic whose news this node hears, up to the tail."""
    watched = WatchedTopic("topic:a", redis.log.cursor, redis, on_left=lambda: None)
    watched.listens()
    await eventually(lambda: not isinstance(watched.read(redis.log.cursor, limit=1, max_bytes=1), Future))
    return watched


def hear(watched: WatchedTopic, entry: Entry) -> None:
    watched.heard(str(entry.cursor).encode() + b" " + entry.json)


async def test_what_is_heard_is_read_from_memory() -> None:
    """In its order, and once, also where it is heard twice."""
    redis = Redis()
    watched = await watching(redis)
    begin, reads = redis.log.cursor, redis.reads
    for _ in range(3):
        entry = redis.publish()
        hear(watched, entry)
        hear(watched, entry)
    assert await read(watched, begin) == [1, 2, 3]
    assert redis.reads == reads


async def test_what_had_to_be_read_is_read_once_for_all_readers() -> None:
    """The news came without the event: the readers are woken when their node has it."""
    redis = Redis()
    watched = await watching(redis)
    at, reads = redis.log.cursor, redis.reads
    found: list[object] = []
    for _ in range(5):
        watched.watch(lambda: found.append(watched.read(at, limit=9, max_bytes=99)))
    watched.heard(str(redis.publish().cursor).encode())
    await eventually(lambda: len(found) == 5)
    assert {type(each) for each in found} == {Page}
    assert redis.reads == reads + 1


async def test_what_is_heard_during_a_read_wakes_once() -> None:
    """The read has it, too: that is no news any more."""
    redis = Redis()
    watched = await watching(redis)
    woken: list[int] = []
    watched.watch(lambda: woken.append(1))
    redis.goes_on.clear()
    reads, entry = redis.reads, redis.publish()
    watched.listens()
    await eventually(lambda: redis.reads == reads + 1)
    hear(watched, entry)
    redis.goes_on.set()
    await eventually(lambda: not isinstance(watched.read(entry.cursor, limit=1, max_bytes=1), Future))
    assert woken == [1]


async def test_an_event_of_another_epoch_is_read_and_never_just_added() -> None:
    """Its offset may follow by chance: what this node has last was lost, and others came in its place."""
    redis = Redis()
    watched = await watching(redis)
    begin = redis.log.cursor
    for _ in range(3):
        hear(watched, redis.publish())
    lost = Cursor("aaaa", 3)
    redis.lose(2)
    woken = asyncio.Event()
    watched.watch(woken.set)
    hear(watched, redis.publish(2))
    await asyncio.wait_for(woken.wait(), 5)
    assert redis.log.cursor == Cursor("bbbb", 4)
    assert isinstance(await read(watched, lost), Gap)
    assert await read(watched, begin) == [1, 2, 3, 4]
    assert await read(watched, Cursor("aaaa", 2)) == [3, 4]


async def test_what_redis_has_lost_is_not_read_from_memory_after_the_gap() -> None:
    """One reader is told of the loss before anybody has published: nobody is shown what was lost from then on."""
    redis = Redis()
    watched = await watching(redis)
    begin = redis.log.cursor
    for _ in range(3):
        hear(watched, redis.publish())
    reads = redis.reads
    redis.goes_on.clear()
    watched.listens()
    await eventually(lambda: redis.reads == reads + 1)
    redis.lose(2)
    gap = asyncio.ensure_future(read(watched, Cursor("aaaa", 3)))
    await eventually(lambda: redis.reads == reads + 2)
    redis.goes_on.set()
    assert isinstance(await gap, Gap)
    assert await read(watched, begin) == [1, 2]


async def test_who_is_woken_is_not_answered_by_an_older_read() -> None:
    """It would miss what it was woken for, and nobody would wake it again."""
    redis = Redis()
    redis.publish(3)
    watched = await watching(redis)
    redis.goes_on.clear()
    old = [asyncio.ensure_future(read(watched, Cursor("aaaa", 1))) for _ in range(5)]
    reads = redis.reads
    await eventually(lambda: redis.reads == reads + 1)
    hear(watched, redis.publish())
    young = asyncio.ensure_future(read(watched, Cursor("aaaa", 1)))
    await eventually(lambda: redis.reads == reads + 2)
    redis.goes_on.set()
    assert [await each for each in old] == [[2, 3]] * 5
    assert await young == [2, 3, 4]
