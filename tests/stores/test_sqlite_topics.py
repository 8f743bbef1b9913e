from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec
import pytest
from sqlite_kit import held_up

from tidegate.core.cursor import Cursor
from tidegate.core.events import Published
from tidegate.core.log import Entry, Page
from tidegate.errors import IdempotencyMismatch, StoreUnavailable
from tidegate.stores.ledger import Ledger
from tidegate.stores.records import Claim
from tidegate.stores.sqlite.published import insert
from tidegate.stores.sqlite.store import SqliteStore
from tidegate.stores.sqlite.topics import Topics
from tidegate.stores.sqlite.writer import Write
from tidegate.stores.topic_charges import TopicCharges

pytestmark = pytest.mark.anyio

PUBLISHER = """
import asyncio, sys
import msgspec
from tidegate.core.events import Published
from tidegate.stores.records import Claim
from tidegate.stores.sqlite.store import SqliteStore

async def fill(store, topic):
    n = 0
    while True:
        n += 1
        event = Published(data=msgspec.Raw(str(n).encode()), sender="a", at=1.0, state=n % 3 == 0)
        cursor = await store.publish(topic, event, claim=Claim(str(n), b""))
        print(topic, cursor, flush=True)

async def main():
    store = SqliteStore(sys.argv[1], max_generation_bytes=1 << 20, topic_history=20)
    await store.open()
    await asyncio.gather(*(fill(store, f"topic:{n}") for n in range(10)))

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = a_store(path)
    await store.open()
    yield store
    await store.close()


def a_store(path: Path, history: int = 1000) -> SqliteStore:
    return SqliteStore(path, max_generation_bytes=1 << 20, topic_history=history)


def event(data: object = "x", *, at: float = 1.0, state: bool = False) -> Published:
    return Published(data=msgspec.Raw(msgspec.json.encode(data)), sender="key:a", at=at, state=state)


async def data_of(store: SqliteStore, topic: str = "topic:a", after: Cursor | None = None) -> list[Any]:
    answer = store.read(topic, after, limit=10_000, max_bytes=1 << 30)
    found = await answer if isinstance(answer, Future) else answer
    assert isinstance(found, Page)
    return [msgspec.json.decode(entry.event.data) for entry in found.entries if isinstance(entry.event, Published)]


def rows(path: Path, question: str) -> list[tuple[Any, ...]]:
    other = sqlite3.connect(path)
    found = other.execute(question).fetchall()
    other.close()
    return found


@contextmanager
def broken(path: Path) -> Generator[None]:
    """While nothing can be published."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TRIGGER broken BEFORE INSERT ON published BEGIN SELECT raise(ABORT, 'broken'); END")
    try:
        yield
    finally:
        other.execute("DROP TRIGGER broken")
        other.close()


def killed(path: Path) -> dict[str, Cursor]:
    """What a process that was killed while it published had acknowledged: the last position in each topic."""
    child = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(500)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    last: dict[str, Cursor] = {}
    for topic, cursor in (line.split() for line in lines if line.endswith("\n")):
        epoch, offset = cursor.split("-")
        last[topic] = Cursor(epoch, int(offset))
    return last


async def test_what_was_published_survives_kill_9(path: Path) -> None:
    """A process that is killed while it publishes loses nothing that it has acknowledged, nor its keys and states."""
    acknowledged = await asyncio.to_thread(killed, path)
    store = a_store(path, history=20)
    await store.open()
    assert len(acknowledged) == 10
    for topic, last in acknowledged.items():
        record = await store.topic(topic)
        tail = record.tail.offset
        assert tail in (last.offset, last.offset + 1)
        assert record.earliest.offset == tail - 20
        assert await data_of(store, topic) == list(range(tail - 19, tail + 1))
        assert record.state is not None
        assert record.state.offset == tail - tail % 3
        assert await store.publish(topic, event(), claim=Claim(str(last.offset), b"")) == last
        assert (await store.publish(topic, event("after"))).offset == tail + 1
        assert (await data_of(store, topic, last))[-1] == "after"
    await store.close()


async def test_nothing_that_was_published_is_read_before_it_is_committed(store: SqliteStore, path: Path) -> None:
    """While the file cannot be written to, no reader sees or is woken for what waits for it."""
    await store.open_topic("topic:a")
    woken: list[int] = []
    store.watch("topic:a", lambda: woken.append(1))
    with held_up(path):
        answer = store.publish("topic:a", event(state=True))
        await asyncio.wait((answer,), timeout=0.1)
        assert not answer.done()
        record = await store.topic("topic:a")
        assert (await data_of(store), woken, record.tail.offset, record.state) == ([], [], 0, None)
    assert (await answer).offset == 1
    assert (await data_of(store), woken) == (["x"], [1])


async def test_what_is_published_together_is_committed_together(store: SqliteStore, path: Path) -> None:
    """What comes while the disk is busy costs one transaction and one wake-up, however much it is."""
    await store.open_topic("topic:a")
    woken: list[int] = []
    store.watch("topic:a", lambda: woken.append(1))
    with held_up(path):
        answers = [store.publish("topic:a", event(n)) for n in range(200)]
    await asyncio.gather(*answers)
    assert await data_of(store) == list(range(200))
    # The first of them may have been on its way already when the others came.
    assert len(woken) <= 2


async def test_a_topic_leaves_no_hole_where_it_could_not_be_written(store: SqliteStore, path: Path) -> None:
    """What failed is told, with what stood behind it, and can be published again, under the same key."""
    await store.publish("topic:a", event("before"))
    claim = Claim("k", b"")
    with broken(path):
        answers = [store.publish("topic:a", event(n), claim=claim if n == 0 else None) for n in range(3)]
        for answer in answers:
            with pytest.raises(StoreUnavailable):
                await answer
    assert (await store.publish("topic:a", event("again"), claim=claim)).offset == 2
    assert await data_of(store) == ["before", "again"]
    assert [offset for (offset,) in rows(path, "SELECT offset FROM published")] == [1, 2]


async def test_the_file_holds_no_more_than_the_history(path: Path) -> None:
    """What a topic has forgotten leaves the file, too."""
    store = a_store(path, history=10)
    await store.open()
    for n in range(50):
        await store.publish("topic:a", event(n))
    # One transaction late, at the most.
    assert rows(path, "SELECT count(*) FROM published")[0][0] <= 11
    await store.close()
    await store.open()
    assert await data_of(store) == list(range(40, 50))
    await store.close()


async def test_a_smaller_history_counts_from_the_next_start(store: SqliteStore, path: Path) -> None:
    """A setting that has changed holds for what is there already."""
    for n in range(20):
        await store.publish("topic:a", event(n))
    await store.close()
    smaller = a_store(path, history=3)
    await smaller.open()
    assert await data_of(smaller) == [17, 18, 19]
    await smaller.close()


async def test_what_expires_leaves_the_file(store: SqliteStore, path: Path) -> None:
    """Thousands of topics that nobody uses go, those that are used stay; however many are skipped, all are found."""
    watched = [f"topic:watched-{n}" for n in range(120)]
    unused = [f"topic:unused-{n}" for n in range(120)]
    await asyncio.gather(*(store.publish(topic, event(at=1.0)) for topic in watched + unused))
    await store.publish("topic:large", event("x" * (2 << 20), at=1.0))
    await store.publish("topic:new", event(at=3.0))
    for topic in watched:
        store.watch(topic, lambda: None)
    assert await store.expire(2.0) == 121
    assert rows(path, "SELECT count(*) FROM topics") == rows(path, "SELECT count(*) FROM published") == [(121,)]


async def test_an_expiry_that_cannot_be_written_forgets_nothing(store: SqliteStore, path: Path) -> None:
    """The topics are there as before, and can be published to."""
    first = await store.publish("topic:a", event("first", at=1.0))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TRIGGER broken BEFORE DELETE ON topics BEGIN SELECT raise(ABORT, 'broken'); END")
    with pytest.raises(StoreUnavailable):
        await store.expire(2.0)
    other.execute("DROP TRIGGER broken")
    other.close()
    await store.publish("topic:a", event("second", at=3.0))
    assert await data_of(store) == ["first", "second"]
    assert await data_of(store, after=first) == ["second"]


async def test_a_damaged_topic_harms_no_other(store: SqliteStore, path: Path) -> None:
    """It is said to be unreadable, and nothing is published over what is left of it."""
    for topic in ("topic:a", "topic:b"):
        for n in range(3):
            await store.publish(topic, event(n))
    await store.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DELETE FROM published WHERE offset = 2 AND topic = (SELECT key FROM topics WHERE id = 'topic:a')")
    other.close()
    await store.open()
    for call in (store.open_topic, store.topic, data_of_topic(store), publishing(store)):
        with pytest.raises(StoreUnavailable):
            await call("topic:a")
    assert await data_of(store, "topic:b") == [0, 1, 2]


def data_of_topic(store: SqliteStore) -> Callable[[str], Awaitable[object]]:
    return lambda topic: data_of(store, topic)


def publishing(store: SqliteStore) -> Callable[[str], Awaitable[object]]:
    return lambda topic: store.publish(topic, event())


class Small:
    """Topics of a store that has room for one of them, and reads and writes at once, unless it is `busy`."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.reads = 0
        self.busy = False
        self.queue: list[Write] = []
        self.queued = asyncio.Event()
        self.epochs = iter(f"e{n}" for n in range(100))
        self.topics = Topics(
            self.ask,
            self.put,
            TopicCharges(Ledger(each=0, total=0, evict=lambda account, size: None)),
            history=5,
            now=lambda: 1.0,
            new_epoch=lambda: next(self.epochs),
            max_topics=1,
        )
        self.topics.open(0)

    async def ask(self, question: Callable[[Connection], Any]) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        return question(self.connection)

    def put(self, write: Write) -> None:
        self.queue.append(write)
        if self.busy:
            self.queued.set()
        else:
            self.commit()

    def commit(self) -> None:
        for write in self.queue:
            if write.published is not None:
                insert(self.connection, [write.published])
            result = write.change(self.connection) if write.change is not None else None
            write.answer.set_result(write.apply(result))
        self.queue.clear()

    async def publish(self, topic: str, events: Sequence[Published]) -> list[Cursor]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(self.topics.publish(loop.create_future(), topic, each, None) for each in events))


async def test_topics_that_had_to_make_room_come_back_as_they_were(store: SqliteStore, path: Path) -> None:
    """In the same process they go on in the same epoch: nothing was lost in between. Waiters share one look."""
    small = Small(path)
    first = await small.publish("topic:a", [event(n) for n in range(3)])
    await small.publish("topic:b", [event("b")])
    assert small.topics.held("topic:a") is None
    reads = small.reads
    second = await small.publish("topic:a", [event(n) for n in range(3, 5)])
    assert small.reads == reads + 1
    assert [cursor.offset for cursor in first + second] == [1, 2, 3, 4, 5]
    assert len({cursor.epoch for cursor in first + second}) == 1
    held = await small.topics.found("topic:a")
    assert [entry.offset for entry in held.log.read(None, limit=9, max_bytes=9999).entries] == [1, 2, 3, 4, 5]
    small.connection.close()


async def test_a_topic_that_is_just_being_forgotten_is_not_seen_again(store: SqliteStore, path: Path) -> None:
    """Whoever opens it or publishes to it meanwhile waits, and begins anew: a position of the old one is a gap."""
    small = Small(path)
    (old,) = await small.publish("topic:a", [event("old")])
    small.busy = True
    expiry = asyncio.create_task(small.topics.expire(2.0))
    await small.queued.wait()
    opening = asyncio.create_task(small.topics.opened("topic:a"))
    publishing = asyncio.create_task(small.publish("topic:a", [event()]))
    done, _ = await asyncio.wait((opening, publishing), timeout=0.05)
    assert not done
    small.busy = False
    small.commit()
    assert await expiry == 1
    held, (new,) = await opening, await publishing
    assert new.offset == 1
    assert new.epoch != old.epoch
    assert held is small.topics.held("topic:a")
    assert rows(path, "SELECT offset FROM published") == [(1,)]
    small.connection.close()


async def test_keys_on_their_way_are_forgotten_once_they_have_arrived(store: SqliteStore, path: Path) -> None:
    """However long a topic is never at rest, it remembers the keys of its history and no others."""
    small = Small(path)
    loop = asyncio.get_running_loop()
    small.busy = True
    claims = [Claim(str(n), b"") for n in range(8)]
    await small.topics.opened("topic:a")
    answers = [small.topics.publish(loop.create_future(), "topic:a", event(), claim) for claim in claims]
    # What stands behind them keeps the topic from its rest.
    last, small.queue = small.queue[-1:], small.queue[:-1]
    small.commit()
    small.queue = last
    again = [small.topics.publish(loop.create_future(), "topic:a", event(), claims[n]) for n in (0, 6)]
    small.commit()
    assert [(await answer).offset for answer in (*answers, *again)] == [*range(1, 9), 9, 7]
    small.connection.close()


async def test_a_refused_publication_holds_nothing_up(store: SqliteStore, path: Path) -> None:
    """A topic at which somebody tried a used key makes room like any other, and is complete when it is back."""
    small = Small(path)
    loop = asyncio.get_running_loop()
    await small.topics.publish(loop.create_future(), "topic:a", event("first"), Claim("k", b"one"))
    with pytest.raises(IdempotencyMismatch):
        await small.topics.publish(loop.create_future(), "topic:a", event(), Claim("k", b"two"))
    await small.publish("topic:b", [event()])
    held = await small.topics.opened("topic:a")
    await small.publish("topic:a", [event("second")])
    assert small.topics.held("topic:a") is held
    assert [entry.event for entry in held.log.read(None, limit=9, max_bytes=9999).entries] == [
        event("first"),
        event("second"),
    ]
    small.connection.close()


async def test_a_watched_history_is_read_from_the_file_where_memory_is_short(store: SqliteStore, path: Path) -> None:
    """Who watches and does not read holds no history in memory; a reader from the beginning has each message once, with
    its data."""
    topics = store._topics._held  # type: ignore[reportPrivateUsage]
    topics._max_bytes = 1 << 20  # type: ignore[reportPrivateUsage]
    rooms = ["topic:0", "topic:1"]
    for room in rooms:
        await store.open_topic(room)
        store.watch(room, lambda: None)
    for n in range(60):
        data = msgspec.Raw(b'"%d %b"' % (n, b"x" * 40_000))
        await asyncio.gather(
            *(store.publish(room, Published(data=data, sender="key:a", at=1.0, state=n == 3)) for room in rooms)
        )
    assert sum(held.size for held in topics) < 1 << 20
    for room in rooms:
        entries: list[Entry] = []
        after, more = (await store.topic(room)).earliest, True
        while more:
            answer = store.read(room, after, limit=10, max_bytes=1 << 20)
            found = await answer if isinstance(answer, Future) else answer
            assert isinstance(found, Page)
            entries += found.entries
            after, more = found.after, found.more
        texts = [bytes(entry.event.data) for entry in entries if isinstance(entry.event, Published)]
        assert [text.split()[0] for text in texts] == [b'"%d' % (entry.offset - 1) for entry in entries]
        assert len(entries) == 60 - (await store.topic(room)).earliest.offset
        assert min(map(len, texts)) > 40_000
