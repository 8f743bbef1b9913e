"""One suite over all stores: what `stores/base.py` promises of topics."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from clock_kit import Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_kit import RedisServer

from tidegate.core.cursor import Cursor
from tidegate.core.events import Delta, Event, Published
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.core.topic import topic_id
from tidegate.errors import IdempotencyMismatch, StoreUnavailable, StreamNotFound
from tidegate.stores.base import Store
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence, Share, TopicRecord
from tidegate.stores.redis.store import RedisSettings, RedisStore
from tidegate.stores.redis.url import parse
from tidegate.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

ROOM = topic_id("room")
HISTORY = 5


def memory(clock: Clock, folder: Path, redis_url: str) -> Store:
    return MemoryStore(max_generation_bytes=1000, topic_history=HISTORY, now=clock)


def sqlite(clock: Clock, folder: Path, redis_url: str) -> Store:
    return SqliteStore(folder / "store.db", max_generation_bytes=1000, topic_history=HISTORY, now=clock)


def redis(clock: Clock, folder: Path, redis_url: str) -> Store:
    settings = RedisSettings(
        prefix=folder.name,
        max_generation_bytes=1000,
        max_stored_bytes=0,
        max_stored_bytes_each=0,
        topic_history=HISTORY,
        retention_seconds=3600,
        patience_seconds=5,
    )
    return RedisStore(parse(redis_url), settings, now=clock)


Maker = Callable[[Clock, Path, str], Store]
MAKERS: list[Maker] = [memory, sqlite, redis]


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture(params=MAKERS)
async def store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path, redis_url: str) -> AsyncIterator[Store]:
    store: Store = request.param(clock, tmp_path, redis_url)
    await store.open()
    yield store
    await store.close()


def event(data: object, *, at: float = 1000.0, state: bool = False, name: str = "message") -> Published:
    return Published(data=msgspec.Raw(msgspec.json.encode(data)), sender="key:a", at=at, state=state, name=name)


async def answered(answer: Cursor | Future[Cursor]) -> Cursor:
    return await answer if isinstance(answer, Future) else answer


async def publish(
    store: Store, data: object, *, topic: str = ROOM, claim: Claim | None = None, **more: object
) -> Cursor:
    return await answered(store.publish(topic, event(data, **more), claim=claim))  # type: ignore[arg-type]


async def read(store: Store, after: Cursor | None = None, *, topic: str = ROOM, limit: int = 100) -> list[Entry] | Gap:
    answer = store.read(topic, after, limit=limit, max_bytes=1 << 20)
    found = await answer if isinstance(answer, Future) else answer
    return found if isinstance(found, Gap) else list(found.entries)


def data_of(entries: Sequence[Entry] | Gap) -> list[object]:
    assert not isinstance(entries, Gap)
    return [msgspec.json.decode(entry.event.data) for entry in entries if isinstance(entry.event, Published)]


async def restarted(store: Store) -> None:
    if not store.outlives_process:
        pytest.skip("what it holds is gone with it")
    await store.close()
    assert list(await store.open()) == []


def begins_epochs(store: Store) -> bool:
    """Whether a process that opens the store begins epochs, since it alone could say what was lost."""
    return not isinstance(store, RedisStore)


async def test_what_is_published_is_read_in_order(store: Store) -> None:
    """Every event has the position that its publisher was told, and is the event that was published."""
    cursors = [await publish(store, n, name=f"n{n}") for n in range(3)]
    found = await read(store)
    assert not isinstance(found, Gap)
    assert [entry.cursor for entry in found] == cursors
    assert [entry.offset for entry in found] == [1, 2, 3]
    assert [entry.event for entry in found] == [event(n, name=f"n{n}") for n in range(3)]
    assert await store.tail(ROOM) == cursors[-1]
    assert data_of(await read(store, cursors[0])) == [1, 2]


async def test_a_topic_can_be_read_before_anybody_has_published(store: Store) -> None:
    """A subscriber that comes first has a position, waits, and misses nothing."""
    before = await store.open_topic(ROOM)
    assert before.offset == 0
    assert await store.open_topic(ROOM) == before == await store.tail(ROOM)
    assert await read(store, before) == []
    reached = asyncio.Event()
    store.watch(ROOM, reached.set)
    await publish(store, "first")
    await asyncio.wait_for(reached.wait(), 5)
    assert data_of(await read(store, before)) == ["first"]


async def test_opening_answers_the_tail(store: Store) -> None:
    """A subscriber to a busy topic begins with what is published from now on."""
    tail = await publish(store, 1)
    assert await store.open_topic(ROOM) == tail


async def test_publishers_need_not_wait_for_each_other(store: Store) -> None:
    """What one caller publishes is in the order of its calls, also where the topic was not known before."""
    answers = [store.publish(ROOM, event(n), claim=None) for n in range(HISTORY)]
    cursors = [await answered(answer) for answer in answers]
    assert [cursor.offset for cursor in cursors] == list(range(1, HISTORY + 1))
    assert data_of(await read(store)) == list(range(HISTORY))


async def test_watchers_are_woken_once_what_was_published_can_be_read(store: Store) -> None:
    """Nothing is shown that the store does not have; who has left is not woken."""
    await store.open_topic(ROOM)
    woken: list[str] = []
    unwatch = store.watch(ROOM, lambda: woken.append("first"))
    store.watch(ROOM, lambda: woken.append("second"))
    await publish(store, 1)
    # A store may wake them once more, when it has begun to listen.
    assert set(woken) == {"first", "second"}
    unwatch()
    unwatch()
    woken.clear()
    await publish(store, 2)
    assert set(woken) == {"second"}


async def test_only_the_last_events_are_kept(store: Store) -> None:
    """A topic is bounded; who asks for what it has forgotten is told from where on it goes on."""
    cursors = [await publish(store, n) for n in range(HISTORY + 3)]
    assert data_of(await read(store)) == list(range(3, HISTORY + 3))
    record = await store.topic(ROOM)
    assert (record.earliest, record.tail) == (cursors[2], cursors[-1])
    assert await read(store, cursors[0]) == Gap(cursors[0], cursors[2])
    assert data_of(await read(store, cursors[2])) == list(range(3, HISTORY + 3))


@pytest.mark.parametrize("asked", [Cursor("zzzzzzz", 1), Cursor("", 3)])
async def test_a_position_that_never_was_is_a_gap(store: Store, asked: Cursor) -> None:
    """Of another epoch, or beyond the tail: said, never guessed."""
    tail = await publish(store, 1)
    asked = asked if asked.epoch else Cursor(tail.epoch, 3)
    found = await read(store, asked)
    assert isinstance(found, Gap)
    assert (found.asked, found.to.offset) == (asked, 0)


async def test_topics_are_apart(store: Store) -> None:
    """What is published to one is not in another, and no position is good for both."""
    other = topic_id("other")
    tail = await publish(store, 1)
    await publish(store, 2, topic=other)
    assert data_of(await read(store, topic=other)) == [2]
    assert isinstance(await read(store, tail, topic=other), Gap)


async def test_the_latest_state_is_remembered_with_its_position(store: Store) -> None:
    """A late joiner gets the current state however long ago it was set, and however much was said since."""
    assert (await publish(store, "no state")).offset == 1
    assert (await store.topic(ROOM)).state is None
    await publish(store, "old", state=True)
    cursor = await publish(store, "new", state=True)
    for n in range(HISTORY + 1):
        await publish(store, n, at=1001.25)
    record = await store.topic(ROOM)
    state = record.state
    assert state is not None
    assert (state.event, state.cursor) == (event("new", state=True), cursor)
    assert isinstance(await read(store, cursor), Gap)
    tail = await store.tail(ROOM)
    assert record == TopicRecord(ROOM, tail, Cursor(tail.epoch, cursor.offset + 1), state, 1001.25)


async def test_publishing_with_the_same_key_publishes_once(store: Store) -> None:
    """A publisher that does not know whether it was heard may repeat itself, at once or later."""
    claim = Claim("key:a publish room k", b"digest")
    first = [store.publish(ROOM, event("a"), claim=claim) for _ in range(3)]
    cursors = {str(await answered(answer)) for answer in first}
    await publish(store, "b")
    woken: list[int] = []
    store.watch(ROOM, lambda: woken.append(1))
    assert {str(await publish(store, "a", claim=claim))} == cursors
    assert (data_of(await read(store)), woken) == (["a", "b"], [])


async def test_a_key_with_another_body_publishes_nothing(store: Store) -> None:
    """It is an error of the caller's, also while the first is on its way."""
    first = store.publish(ROOM, event("a"), claim=Claim("k", b"one"))
    for _ in range(2):
        with pytest.raises(IdempotencyMismatch):
            await publish(store, "b", claim=Claim("k", b"two"))
    await answered(first)
    assert data_of(await read(store)) == ["a"]


async def test_a_key_is_kept_as_long_as_its_event(store: Store) -> None:
    """With the event that the history forgets goes the key, and no other."""
    one, two = Claim("1", b""), Claim("2", b"")
    await publish(store, "one", claim=one)
    second = await publish(store, "two", claim=two)
    for n in range(HISTORY - 1):
        await publish(store, n)
    assert await publish(store, "two", claim=two) == second
    assert (await publish(store, "one", claim=one)).offset == HISTORY + 2
    assert (await publish(store, "one", claim=one)).offset == HISTORY + 2


async def test_a_key_is_good_for_one_topic(store: Store) -> None:
    """The same key publishes to each topic."""
    claim = Claim("k", b"")
    await publish(store, 1, claim=claim)
    await publish(store, 1, topic=topic_id("other"), claim=claim)
    assert data_of(await read(store, topic=topic_id("other"))) == [1]


async def test_an_event_called_like_an_end_ends_nothing(store: Store) -> None:
    """Topics are open-ended, whatever clients call their events."""
    for name in ("completed", "failed", "cancelled"):
        await publish(store, 1, name=name)
    await publish(store, 2)
    assert len(data_of(await read(store))) == 4


async def test_a_topic_is_no_stream(store: Store) -> None:
    """Nobody owns, lists, shares, takes over, appends to or deletes it by the calls for streams."""
    await publish(store, 1)
    fence = Fence(ROOM, (await store.tail(ROOM)).epoch)

    async def append() -> int:
        events: list[Event] = [Delta("a")]
        answer = store.append(events, fence=fence, expected=1)
        return await answer if isinstance(answer, Future) else answer

    calls: list[Callable[[], object]] = [
        lambda: store.look(ROOM),
        lambda: store.acquire(ROOM),
        lambda: store.forget(ROOM),
        lambda: store.share(Share(b"digest", ROOM, 2000)),
        lambda: store.unshare(ROOM),
        lambda: store.mark_running(fence),
        append,
        lambda: store.list(owner=None, status=None, before=ROOM, limit=1),
    ]
    for call in calls:
        with pytest.raises(StreamNotFound):
            await call()  # type: ignore[misc]
    assert await store.list(owner=None, status=None, before=None, limit=9) == []
    assert data_of(await read(store)) == [1]


async def test_a_topic_that_nobody_has_opened_is_not_there(store: Store) -> None:
    """Looking at a topic does not make it; and what is no topic's id is never one."""
    calls: list[Callable[[], object]] = [
        lambda: store.topic(ROOM),
        lambda: store.tail(ROOM),
        lambda: read(store),
        lambda: store.open_topic("room"),
        lambda: store.open_topic("gen_1"),
        lambda: publish(store, 1, topic="room"),
    ]
    for call in calls:
        with pytest.raises(StreamNotFound):
            await call()  # type: ignore[misc]
    with pytest.raises(StreamNotFound):
        store.watch(ROOM, lambda: None)


async def test_a_topic_that_nobody_uses_expires(store: Store) -> None:
    """With its history, its state and its keys: the next to publish begins anew, and old positions are gaps."""
    claim = Claim("k", b"")
    old = await publish(store, "old", at=100.0, state=True, claim=claim)
    fresh = topic_id("fresh")
    await publish(store, 1, topic=fresh, at=200.0)
    assert await store.expire(150.0) == 1
    assert await store.expire(150.0) == 0
    with pytest.raises(StreamNotFound):
        await store.topic(ROOM)
    assert data_of(await read(store, topic=fresh)) == [1]
    new = await publish(store, "new", claim=claim)
    assert (new.offset, new == old) == (1, False)
    assert (await store.topic(ROOM)).state is None
    assert isinstance(await read(store, old), Gap)


async def test_a_topic_that_is_watched_does_not_expire(store: Store) -> None:
    """However long nobody has said anything; once the last has left it does."""
    await publish(store, 1, at=100.0)
    quiet = topic_id("quiet")
    await store.open_topic(quiet)
    leave = [store.watch(topic, lambda: None) for topic in (ROOM, quiet)]
    assert await store.expire(2000.0) == 0
    assert data_of(await read(store)) == [1]
    assert await read(store, topic=quiet) == []
    for unwatch in leave:
        unwatch()
    assert await store.expire(2000.0) == 1
    for topic in (ROOM, quiet):
        with pytest.raises(StreamNotFound):
            await store.topic(topic)


async def test_publishing_while_topics_expire_loses_nothing(store: Store) -> None:
    """What was acknowledged after a topic was forgotten is in the one that begins anew."""
    topics = [topic_id(str(n)) for n in range(50)]
    for topic in topics:
        await publish(store, "old", topic=topic, at=100.0)
    expiry = asyncio.create_task(store.expire(150.0))
    for turn in range(3):
        await asyncio.gather(*(publish(store, turn, topic=topic, at=200.0) for topic in topics))
    await expiry
    for topic in topics:
        found = data_of(await read(store, topic=topic))
        assert found in ([0, 1, 2], ["old", 0, 1, 2])
    await restarted(store)
    for topic in topics:
        assert data_of(await read(store, topic=topic)) in ([0, 1, 2], ["old", 0, 1, 2])


async def test_all_of_a_topic_outlives_a_restart(store: Store) -> None:
    """History, state, keys and positions; what follows is not mistaken for what was lost: it is in another epoch where
    the store itself was away."""
    claim = Claim("k", b"digest")
    state = await publish(store, "state", state=True)
    for n in range(HISTORY):
        await publish(store, n)
    claimed = await publish(store, "keyed", claim=claim, at=1001.5)
    before, found = await store.topic(ROOM), await read(store)
    await restarted(store)

    assert await store.open_topic(ROOM) == before.tail
    assert await store.topic(ROOM) == before
    assert before.state is not None
    assert before.state.cursor == state
    assert await read(store) == found
    assert await publish(store, "keyed", claim=claim) == claimed
    with pytest.raises(IdempotencyMismatch):
        await publish(store, "other", claim=Claim("k", b"other"))
    after = await publish(store, "after")
    assert (after.offset, after.epoch != claimed.epoch) == (claimed.offset + 1, begins_epochs(store))
    assert data_of(await read(store, claimed)) == ["after"]
    lost = Cursor(claimed.epoch, after.offset)
    assert isinstance(await read(store, lost), Gap) == begins_epochs(store)
    await restarted(store)
    assert data_of(await read(store, claimed)) == ["after"]
    assert await store.tail(ROOM) == after


async def test_positions_of_every_process_stay_valid(store: Store) -> None:
    """Through many restarts, as long as what follows them is kept."""
    cursors: list[Cursor] = []
    for n in range(HISTORY + 3):
        cursors.append(await publish(store, n))
        await restarted(store)
    assert len({cursor.epoch for cursor in cursors}) == (len(cursors) if begins_epochs(store) else 1)
    for n, cursor in enumerate(cursors):
        found = await read(store, cursor)
        if n < 2:
            assert found == Gap(cursor, cursors[2])
        else:
            assert data_of(found) == list(range(n + 1, HISTORY + 3))


async def test_a_topic_nobody_has_published_to_leaves_nothing_behind(store: Store) -> None:
    """Subscribing costs nothing durable."""
    await store.open_topic(ROOM)
    await restarted(store)
    with pytest.raises(StreamNotFound):
        await store.topic(ROOM)


async def test_nothing_is_published_after_the_close(store: Store) -> None:
    """What came before it is there at the next open, what comes too late is refused; whoever waits is woken."""
    if not store.outlives_process:
        pytest.skip("what it holds is gone with it")
    await store.open_topic(ROOM)
    woken: list[int] = []
    store.watch(ROOM, lambda: woken.append(1))
    queued = store.publish(ROOM, event("in time"), claim=None)
    await store.close()
    assert (await answered(queued)).offset == 1
    assert len(woken) >= 2
    with pytest.raises(StoreUnavailable):
        await publish(store, "too late")
    await store.open()
    assert data_of(await read(store)) == ["in time"]


class Model:
    """What a topic is, said as simply as can be."""

    def __init__(self) -> None:
        self.events: list[tuple[object, Claim | None]] = []
        self.state: object = None

    @property
    def earliest(self) -> int:
        return max(0, len(self.events) - HISTORY)

    def publish(self, data: object, claim: Claim | None, *, state: bool) -> int:
        """The offset it has; 0 where the claim was made with another body."""
        for offset, (_, made) in enumerate(self.events[self.earliest :], self.earliest + 1):
            if claim is not None and made is not None and made.key == claim.key:
                return offset if made.digest == claim.digest else 0
        self.events.append((data, claim))
        if state:
            self.state = data
        return len(self.events)


class Both:
    """A store beside the models of its topics."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.models = {"a": Model(), "b": Model()}
        self.cursors: dict[tuple[str, int], Cursor] = {}
        self.under_way: list[tuple[str, int, Cursor | Future[Cursor]]] = []

    async def publish(self, name: str, claim: Claim | None, *, state: bool) -> None:
        model = self.models[name]
        data = len(model.events)
        offset = model.publish(data, claim, state=state)
        if offset:
            answer = self.store.publish(topic_id(name), event(data, state=state), claim=claim)
            self.under_way.append((name, offset, answer))
            return
        with pytest.raises(IdempotencyMismatch):
            await publish(self.store, data, topic=topic_id(name), claim=claim)

    async def settle(self) -> None:
        """Whoever published the same was told the same position, and it is the one that the model says."""
        for name, offset, answer in self.under_way:
            cursor = await answered(answer)
            assert self.cursors.setdefault((name, offset), cursor) == cursor
            assert cursor.offset == offset
        self.under_way.clear()

    async def restart(self) -> None:
        if self.store.outlives_process:
            await self.store.close()
            await self.store.open()

    async def compare(self, name: str) -> None:
        topic, model = topic_id(name), self.models[name]
        await self.store.open_topic(topic)
        record = await self.store.topic(topic)
        assert (record.tail.offset, record.earliest.offset) == (len(model.events), model.earliest)
        assert data_of([record.state] if record.state else []) == ([] if model.state is None else [model.state])
        for offset in range(1, len(model.events) + 1):
            cursor = self.cursors[name, offset]
            found = await read(self.store, cursor, topic=topic)
            if offset < model.earliest:
                assert found == Gap(cursor, record.earliest)
            else:
                assert data_of(found) == [data for data, _ in model.events[offset:]]


Then = Literal["settle", "go on", "restart"]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.none() | st.builds(Claim, st.sampled_from("xyz"), st.sampled_from([b"1", b"1", b"2"])),
        st.booleans(),
        st.sampled_from(["settle", "settle", "go on", "restart"]),
    ),
    max_size=25,
)


@pytest.mark.parametrize("make", MAKERS)
@settings(max_examples=40)
@given(steps=STEPS)
def test_a_topic_is_its_last_events(
    make: Maker,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
    steps: list[tuple[str, Claim | None, bool, Then]],
) -> None:
    """Any publishing, waiting or not, to any topics, with any keys and restarts, comes to what the model says."""

    async def run() -> None:
        both = Both(make(Clock(1000.0), tmp_path_factory.mktemp("topics"), redis_server.url))
        await both.store.open()
        for name, claim, state, then in steps:
            await both.publish(name, claim, state=state)
            if then != "go on":
                await both.settle()
            if then == "restart":
                await both.restart()
        await both.settle()
        for name in both.models:
            await both.compare(name)
        await both.store.close()

    asyncio.run(run())
