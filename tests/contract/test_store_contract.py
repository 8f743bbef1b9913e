"""One suite over all stores: what `stores/base.py` promises."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from clock_kit import Clock

from tidegate.core.cursor import Cursor
from tidegate.core.events import Cancelled, Completed, Delta, Event, GenerationRequest, Message, Started, Usage
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.errors import (
    Fenced,
    IdempotencyMismatch,
    OffsetMismatch,
    StoreUnavailable,
    StreamEnded,
    StreamNotFound,
    TidegateError,
    TooLong,
    TooManyShares,
)
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.meter import Meter
from tidegate.stores.base import Store
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import MAX_SHARES, Claim, Claimed, Fence, Share, StreamRecord
from tidegate.stores.redis.store import RedisSettings, RedisStore
from tidegate.stores.redis.url import parse
from tidegate.stores.sqlite.store import SqliteStore
from tidegate.streams.observed_store import ObservedStore

pytestmark = pytest.mark.anyio

MAX_BYTES = 2000
END = Completed("stop", Usage(1, 1, 2))


def memory(clock: Clock, _: Path) -> Store:
    return MemoryStore(max_generation_bytes=MAX_BYTES, now=clock)


def sqlite(clock: Clock, folder: Path) -> Store:
    return SqliteStore(folder / "store.db", max_generation_bytes=MAX_BYTES, now=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def observed(clock: Clock, folder: Path) -> Store:
    return ObservedStore(memory(clock, folder), Meter(), Appends(), lambda call: None)


def redis(clock: Clock, url: str) -> Store:
    settings = RedisSettings(
        prefix="tidegate",
        max_generation_bytes=MAX_BYTES,
        max_stored_bytes=0,
        max_stored_bytes_each=1 << 30,
        topic_history=1000,
        retention_seconds=60,
        patience_seconds=5,
    )
    return RedisStore(parse(url), settings, now=clock)


@pytest.fixture(params=[memory, sqlite, observed, redis])
async def store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncIterator[Store]:
    make: Callable[[Clock, Path | str], Store] = request.param
    store = make(clock, request.getfixturevalue("redis_url") if make is redis else tmp_path)
    assert list(await store.open()) == []
    yield store
    await store.close()


async def appended(store: Store, events: Sequence[Event], fence: Fence, expected: int) -> int:
    answer = store.append(events, fence=fence, expected=expected)
    return await answer if isinstance(answer, Future) else answer


async def opened(store: Store, stream: str = "gen_1", *, owner: str = "anna", claim: Claim | None = None) -> Fence:
    record = StreamRecord(id=stream, owner=owner, model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)], claim=claim)
    assert isinstance(fence, Fence)
    return fence


async def read(store: Store, stream: str, after: Cursor | None, limit: int) -> Sequence[Entry] | Gap:
    answer = store.read(stream, after, limit=limit, max_bytes=1 << 20)
    found = await answer if isinstance(answer, Future) else answer
    return found if isinstance(found, Gap) else found.entries


async def events_of(store: Store, stream: str = "gen_1") -> list[Event]:
    found = await read(store, stream, None, 1000)
    assert not isinstance(found, Gap)
    return [entry.event for entry in found]


async def test_a_new_stream_begins_with_its_first_event(store: Store) -> None:
    """Creation and the `started` event are one step: no reader ever sees a stream without it."""
    await opened(store)
    assert await events_of(store) == [Started("gen_1", "m", 1.0)]
    assert (await store.tail("gen_1")).offset == 1


async def test_events_are_appended_together_and_in_order(store: Store) -> None:
    """An append of several events is one step; the answer is the new tail."""
    fence = await opened(store)
    assert await appended(store, [Delta("a"), Delta("b")], fence, 1) == 3
    assert await appended(store, [Delta("c")], fence, 3) == 4
    assert (await events_of(store))[1:] == [Delta("a"), Delta("b"), Delta("c")]


async def test_repeating_the_last_append_is_harmless(store: Store) -> None:
    """A writer that does not know whether its append arrived may send it again."""
    fence = await opened(store)
    await appended(store, [Delta("a"), Delta("b")], fence, 1)
    assert await appended(store, [Delta("a"), Delta("b")], fence, 1) == 3
    assert len(await events_of(store)) == 3


async def test_an_append_at_another_tail_is_refused_with_the_right_one(store: Store) -> None:
    """What was not expected is not written over or behind; the error says where the tail is."""
    fence = await opened(store)
    await appended(store, [Delta("a")], fence, 1)
    for expected in (0, 1, 5):
        with pytest.raises(OffsetMismatch) as caught:
            await appended(store, [Delta("other")], fence, expected)
        assert caught.value.tail == 2
    assert len(await events_of(store)) == 2


async def test_an_append_of_nothing_tells_the_tail(store: Store) -> None:
    """It adds nothing, and repeats nothing: whoever expects another tail is told the right one."""
    fence = await opened(store)
    await appended(store, [Delta("a")], fence, 1)
    assert await appended(store, [], fence, 2) == 2
    for expected in (0, 1, 5):
        with pytest.raises(OffsetMismatch) as caught:
            await appended(store, [], fence, expected)
        assert caught.value.tail == 2
    await appended(store, [END], fence, 2)
    with pytest.raises(OffsetMismatch):
        await appended(store, [], fence, 2)
    with pytest.raises(StreamEnded):
        await appended(store, [], fence, 3)


async def test_an_old_fence_cannot_append(store: Store) -> None:
    """Whoever was taken over writes nothing any more, not even a repetition."""
    old = await opened(store)
    await appended(store, [Delta("a")], old, 1)
    new = await store.acquire("gen_1")
    for events, expected in (([Delta("late")], 2), ([Delta("a")], 1)):
        with pytest.raises(Fenced):
            await appended(store, events, old, expected)
    await appended(store, [Delta("b")], new, 2)
    assert (await events_of(store))[1:] == [Delta("a"), Delta("b")]


async def test_a_takeover_begins_an_epoch_and_keeps_the_positions(store: Store) -> None:
    """Cursors from before a takeover go on being read from."""
    fence = await opened(store)
    await appended(store, [Delta("a")], fence, 1)
    before = await store.tail("gen_1")
    new = await store.acquire("gen_1")
    await appended(store, [Delta("b")], new, 2)
    found = await read(store, "gen_1", before, 10)
    assert not isinstance(found, Gap)
    assert [entry.event for entry in found] == [Delta("b")]
    assert found[0].epoch == new.epoch != before.epoch


async def test_a_stream_ends_once(store: Store, clock: Clock) -> None:
    """The first terminal event wins, whoever comes second is told, and the record knows the end."""
    fence = await opened(store)
    clock.now = 1234.5
    await appended(store, [Delta("a"), END], fence, 1)
    with pytest.raises(StreamEnded):
        await appended(store, [Cancelled("client", None, Usage(0, 0, 0))], fence, 3)
    with pytest.raises(StreamEnded):
        await store.acquire("gen_1")
    record = (await store.look("gen_1")).record
    assert (record.end, record.ended_at) == (END, 1234.5)


async def test_repeating_the_append_that_ended_the_stream_is_harmless(store: Store) -> None:
    """The end may be written again by a writer that is not sure of it."""
    fence = await opened(store)
    await appended(store, [END], fence, 1)
    assert await appended(store, [END], fence, 1) == 2


async def test_a_generation_that_is_too_long_is_refused_whole(store: Store) -> None:
    """Past `max_generation_bytes` an append changes nothing, and the end can still be written."""
    fence = await opened(store)
    with pytest.raises(TooLong):
        await appended(store, [Delta("a"), Delta("x" * MAX_BYTES)], fence, 1)
    assert len(await events_of(store)) == 1
    await appended(store, [END], fence, 1)


async def test_readers_are_woken_after_the_event_can_be_read(store: Store) -> None:
    """Nothing is shown that the store does not have: at the wake-up the event is there, once per append."""
    fence = await opened(store)
    woken: list[None] = []
    reached = asyncio.Event()

    def wake() -> None:
        woken.append(None)
        reached.set()

    unwatch = store.watch("gen_1", wake)
    await appended(store, [Delta("a"), Delta("b")], fence, 1)
    await asyncio.wait_for(reached.wait(), 5)
    assert len(await events_of(store)) == 3
    assert len(woken) == 1
    unwatch()
    await appended(store, [Delta("c")], fence, 3)
    assert len(woken) == 1


async def test_a_watcher_that_leaves_during_a_wake_up_disturbs_nobody(store: Store) -> None:
    """Readers come and go while others are being woken."""
    fence = await opened(store)
    woken: list[str] = []
    leave = store.watch("gen_1", lambda: (woken.append("first"), leave()))
    store.watch("gen_1", lambda: woken.append("second"))
    await appended(store, [Delta("a")], fence, 1)
    await appended(store, [Delta("b")], fence, 2)
    assert woken == ["first", "second", "second"]


async def test_reading_is_bounded_and_goes_on(store: Store) -> None:
    """A reader takes what it can hold and comes back for the rest."""
    fence = await opened(store)
    await appended(store, [Delta(str(n)) for n in range(10)], fence, 1)
    seen: list[Entry] = []
    while found := await read(store, "gen_1", seen[-1].cursor if seen else None, 3):
        assert not isinstance(found, Gap)
        assert len(found) <= 3
        seen += found
    assert [entry.offset for entry in seen] == list(range(1, 12))


async def test_a_position_of_another_stream_is_a_gap(store: Store) -> None:
    """A cursor is never mistaken for another stream's."""
    await opened(store, "gen_1")
    await opened(store, "gen_2")
    asked = await store.tail("gen_2")
    found = await read(store, "gen_1", asked, 10)
    assert isinstance(found, Gap)
    assert (found.asked, found.to.offset) == (asked, 0)


async def test_an_idempotency_key_leads_to_its_first_stream(store: Store) -> None:
    """The same key and body start one stream, however often they come."""
    claim = Claim("anna streams k", b"body")
    await opened(store, "gen_1", claim=claim)
    record = StreamRecord(id="gen_2", owner="anna", model="m", created_at=1.0)
    assert await store.create(record, [Started("gen_2", "m", 1.0)], claim=claim) == Claimed("gen_1")
    assert await store.claimed(claim) == Claimed("gen_1")
    with pytest.raises(StreamNotFound):
        await store.look("gen_2")


async def test_an_idempotency_key_with_another_body_is_a_conflict(store: Store) -> None:
    """A key that is used for something else is an error of the caller's, and starts nothing."""
    await opened(store, "gen_1", claim=Claim("k", b"body"))
    record = StreamRecord(id="gen_2", owner="anna", model="m", created_at=1.0)
    with pytest.raises(IdempotencyMismatch):
        await store.create(record, [Started("gen_2", "m", 1.0)], claim=Claim("k", b"other"))
    with pytest.raises(IdempotencyMismatch):
        await store.claimed(Claim("k", b"other"))


async def test_a_key_is_forgotten_with_its_stream(store: Store) -> None:
    """A key is kept as long as its result."""
    claim = Claim("k", b"body")
    await opened(store, "gen_1", claim=claim)
    await store.forget("gen_1")
    assert await store.claimed(claim) is None
    await opened(store, "gen_2", claim=claim)


async def test_the_list_is_the_owners_newest_first(store: Store) -> None:
    """Pages go from the newest back, and hold nobody else's streams."""
    for index in range(5):
        await opened(store, f"gen_{index}", owner="anna" if index != 2 else "bert")
    page = await store.list(owner="anna", status=None, before=None, limit=2)
    assert [found.record.id for found in page] == ["gen_4", "gen_3"]
    page = await store.list(owner="anna", status=None, before="gen_3", limit=5)
    assert [found.record.id for found in page] == ["gen_1", "gen_0"]
    assert len(await store.list(owner=None, status=None, before=None, limit=10)) == 5


async def test_the_list_can_be_of_one_status(store: Store) -> None:
    """Queued, running and ended streams are told apart."""
    queued = await opened(store, "gen_q")
    running = await opened(store, "gen_r")
    ended = await opened(store, "gen_e")
    await store.mark_running(running)
    await store.mark_running(ended)
    await appended(store, [END], ended, 1)
    for status, fence in (("queued", queued), ("running", running), ("completed", ended)):
        found = await store.list(owner=None, status=status, before=None, limit=10)
        assert [(each.record.id, each.tail) for each in found] == [(fence.stream, await store.tail(fence.stream))]


async def test_only_what_ended_long_ago_expires(store: Store, clock: Clock) -> None:
    """Retention counts from the end; a live stream is kept however old it is."""
    old, fresh = await opened(store, "gen_old"), await opened(store, "gen_fresh")
    await opened(store, "gen_live")
    clock.now = 100
    await appended(store, [END], old, 1)
    clock.now = 200
    await appended(store, [END], fresh, 1)
    assert await store.expire(150) == 1
    with pytest.raises(StreamNotFound):
        await store.look("gen_old")
    await store.look("gen_fresh")
    await store.look("gen_live")


async def test_readers_of_a_forgotten_stream_are_woken(store: Store) -> None:
    """Nobody waits for ever on a stream that is gone."""
    await opened(store)
    reached = asyncio.Event()
    store.watch("gen_1", reached.set)
    await store.forget("gen_1")
    await asyncio.wait_for(reached.wait(), 5)


async def test_calls_on_a_stream_that_is_not_there_say_so(store: Store) -> None:
    """Every call answers a typed error for an unknown stream."""
    fence = Fence("gen_none", "aaaa")
    calls: list[Callable[[], object]] = [
        lambda: store.look("gen_none"),
        lambda: store.tail("gen_none"),
        lambda: read(store, "gen_none", None, 1),
        lambda: store.acquire("gen_none"),
        lambda: store.forget("gen_none"),
        lambda: store.share(Share(b"digest", "gen_none", 2000)),
        lambda: store.unshare("gen_none"),
        lambda: store.mark_running(fence),
        lambda: appended(store, [Delta("a")], fence, 0),
        lambda: store.list(owner=None, status=None, before="gen_none", limit=1),
    ]
    for call in calls:
        with pytest.raises(StreamNotFound):
            await call()  # type: ignore[misc]
    woken = asyncio.Event()
    try:
        store.watch("gen_none", woken.set)
    except StreamNotFound:
        return
    await asyncio.wait_for(woken.wait(), 5)


async def test_of_many_ends_at_once_one_wins(store: Store) -> None:
    """Cancel racing completion: exactly one terminal event stands in the log, and everybody agrees which."""
    fence = await opened(store)
    ends: list[Event] = [Cancelled("client", str(n), Usage(0, 0, 0)) for n in range(20)]

    async def end(event: Event) -> bool:
        try:
            await appended(store, [event], fence, 1)
        except TidegateError:
            return False
        return True

    won = await asyncio.gather(*(end(event) for event in ends))
    assert won.count(True) == 1
    assert (await events_of(store))[1:] == [ends[won.index(True)]]


async def test_the_end_that_completes_and_the_one_that_cancels_race_fairly(store: Store) -> None:
    """Asked for in the same turn, the first has the stream and the second is told, without waiting for the store."""
    fence = await opened(store)
    first = store.append([Delta("a"), END], fence=fence, expected=1)
    with pytest.raises(StreamEnded):
        await appended(store, [Cancelled("client", None, Usage(0, 0, 0))], fence, 3)
    with pytest.raises(OffsetMismatch):
        await appended(store, [Cancelled("client", None, Usage(0, 0, 0))], fence, 1)
    assert (await first if isinstance(first, Future) else first) == 3
    assert (await store.look("gen_1")).record.end == END


async def test_appends_may_follow_each_other_without_waiting(store: Store) -> None:
    """What is decided about an append counts what was asked for before it; repeating what is on its way is harmless."""
    fence = await opened(store)
    answers = [store.append([Delta(str(n))], fence=fence, expected=n) for n in range(1, 20)]
    answers.append(store.append([Delta("18"), Delta("19")], fence=fence, expected=18))
    tails = [await answer if isinstance(answer, Future) else answer for answer in answers]
    assert tails == [*range(2, 21), 20]
    last = [store.append([Delta(str(n))], fence=fence, expected=n) for n in (20, 21, 21)]
    assert [await answer if isinstance(answer, Future) else answer for answer in last] == [21, 22, 22]
    assert (await events_of(store))[1:] == [Delta(str(n)) for n in range(1, 22)]


async def test_many_fill_and_many_read_at_once(store: Store) -> None:
    """Every reader of every stream sees exactly its stream's events, in order, up to the end."""
    texts = [str(n) for n in range(30)]

    async def produce(stream: str) -> None:
        fence = await opened(store, stream)
        made[stream].set()
        for tail, text in enumerate(texts, 1):
            await appended(store, [Delta(f"{stream} {text}")], fence, tail)
            await asyncio.sleep(0)
        await appended(store, [END], fence, len(texts) + 1)

    async def follow(stream: str) -> list[Event]:
        news = asyncio.Event()
        await made[stream].wait()
        unwatch = store.watch(stream, news.set)
        seen: list[Entry] = []
        while not seen or seen[-1].event != END:
            news.clear()
            found = await read(store, stream, seen[-1].cursor if seen else None, 7)
            assert not isinstance(found, Gap)
            seen += found
            if not found:
                await news.wait()
        unwatch()
        assert [entry.offset for entry in seen] == list(range(1, len(seen) + 1))
        return [entry.event for entry in seen]

    streams = [f"gen_{n}" for n in range(20)]
    made = {stream: asyncio.Event() for stream in streams}
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(produce(stream))
        followers = [(stream, group.create_task(follow(stream))) for stream in streams * 3]
    for stream, follower in followers:
        events = follower.result()
        assert events[1:-1] == [Delta(f"{stream} {text}") for text in texts]


async def test_what_expires_while_it_is_read_is_read_or_not_there(store: Store, clock: Clock) -> None:
    """A reader that comes while its stream is forgotten has all of it or is told that it is gone, never a part."""
    for n in range(20):
        fence = await opened(store, f"gen_{n}")
        await appended(store, [Delta("a"), END], fence, 1)

    async def look(stream: str) -> bool:
        try:
            events = await events_of(store, stream)
        except StreamNotFound:
            return False
        assert events == [Started(stream, "m", 1.0), Delta("a"), END]
        return True

    before = [look(f"gen_{n}") for n in range(20)]
    after = [look(f"gen_{n}") for n in range(20)]
    clock.now += 1000
    _, expired, _ = await asyncio.gather(asyncio.gather(*before), store.expire(clock.now), asyncio.gather(*after))
    assert expired == 20
    assert [await look(f"gen_{n}") for n in range(20)] == [False] * 20
    assert await store.list(owner=None, status=None, before=None, limit=100) == []


async def test_taking_over_may_replace_the_lease(store: Store) -> None:
    """A new lease counts from its takeover on; without one the old stays."""
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0, lease=b"first")
    await store.create(record, [Started("gen_1", "m", 1.0)])
    await store.acquire("gen_1")
    assert (await store.look("gen_1")).record.lease == b"first"
    await store.acquire("gen_1", lease=b"second")
    assert (await store.look("gen_1")).record.lease == b"second"


async def test_a_share_is_found_by_its_digest(store: Store) -> None:
    """What was kept is answered as it was, and nothing else is taken for it, however often it is asked for."""
    await opened(store)
    share = Share(b"a", "gen_1", 1234.567)
    assert await store.shared(b"a") is None
    await store.share(share)
    for _ in range(2):
        assert await store.shared(b"a") == share
        assert await store.shared(b"b") is None


async def test_all_shares_of_a_stream_are_revoked_at_once(store: Store) -> None:
    """Revoking leaves none, harms no other stream's, and is no ban: the stream can be shared again."""
    await opened(store, "gen_1")
    await opened(store, "gen_2")
    other = Share(b"other", "gen_2", 2000)
    for share in (Share(b"a", "gen_1", 2000), Share(b"b", "gen_1", 3000), other):
        await store.share(share)
        assert await store.shared(share.digest) == share
    await store.unshare("gen_1")
    assert [await store.shared(digest) for digest in (b"a", b"b", b"other")] == [None, None, other]
    await store.unshare("gen_1")
    await store.share(Share(b"c", "gen_1", 2000))
    assert await store.shared(b"c") == Share(b"c", "gen_1", 2000)
    assert await store.shared(b"a") is None


async def test_a_share_is_forgotten_with_its_stream(store: Store) -> None:
    """It does not lead to another stream that comes to have the same name."""
    await opened(store, "gen_1")
    await opened(store, "gen_2")
    for share in (Share(b"a", "gen_1", 2000), Share(b"unseen", "gen_1", 2000), Share(b"other", "gen_2", 2000)):
        await store.share(share)
    assert await store.shared(b"a") is not None
    await store.forget("gen_1")
    await opened(store, "gen_1")
    assert [await store.shared(digest) for digest in (b"a", b"unseen")] == [None, None]
    assert await store.shared(b"other") is not None


async def test_a_share_expires_with_its_stream(store: Store, clock: Clock) -> None:
    """Retention counts for the stream alone: a share that would be good for longer is gone with it."""
    for stream in ("gen_old", "gen_fresh"):
        await appended(store, [END], await opened(store, stream), 1)
        await store.share(Share(stream.encode(), stream, 1e9))
        assert await store.shared(stream.encode()) is not None
        clock.now += 100
    assert await store.expire(1050) == 1
    assert await store.shared(b"gen_old") is None
    assert await store.shared(b"gen_fresh") is not None


async def test_shares_of_a_stream_are_so_many_at_the_most(store: Store, clock: Clock) -> None:
    """One more is refused and changes nothing, however many come at once; each stream has its own, and time frees."""
    await opened(store, "gen_1")
    await opened(store, "gen_2")
    shares = [Share(b"%d" % n, "gen_1", clock.now + (10 if n % 2 else 20)) for n in range(MAX_SHARES + 50)]
    answers = await asyncio.gather(*map(store.share, shares), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * MAX_SHARES + [TooManyShares] * 50
    assert [await store.shared(share.digest) for share in shares] == [*shares[:MAX_SHARES], *[None] * 50]
    await store.share(Share(b"other", "gen_2", 2000))
    clock.now += 10
    for n in range(MAX_SHARES // 2):
        await store.share(Share(b"late %d" % n, "gen_1", 2000))
    with pytest.raises(TooManyShares):
        await store.share(Share(b"too late", "gen_1", 2000))
    assert [await store.shared(share.digest) for share in shares[:MAX_SHARES:2]] == shares[:MAX_SHARES:2]


async def test_no_look_in_between_brings_a_revoked_share_back(store: Store) -> None:
    """Whoever asks while shares are revoked is answered; once that is done nobody finds them."""
    await opened(store)
    for n in range(20):
        await store.share(Share(b"%d" % n, "gen_1", 2000))
    looks = [store.shared(b"%d" % n) for n in range(20)]
    more = [store.shared(b"%d" % n) for n in range(20)]
    await asyncio.gather(*looks, store.unshare("gen_1"), *more)
    assert [await store.shared(b"%d" % n) for n in range(20)] == [None] * 20


async def test_shares_outlive_a_store_that_outlives_itself(store: Store) -> None:
    """After a restart a link that was sent still works, and one that was revoked still does not."""
    if not store.outlives_process:
        pytest.skip("what it holds is gone with it")
    await opened(store, "gen_1")
    await opened(store, "gen_2")
    for stream in ("gen_1", "gen_2"):
        await store.share(Share(stream.encode(), stream, 2000.125))
    await store.unshare("gen_2")
    assert await store.shared(b"gen_1") is not None
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.shared(b"gen_1")
    await store.open()
    assert await store.shared(b"gen_1") == Share(b"gen_1", "gen_1", 2000.125)
    assert await store.shared(b"gen_2") is None


async def test_a_store_that_outlives_itself_answers_what_nobody_fills_any_more(store: Store) -> None:
    """Streams without an end are answered at the next `open`, whole, and go on from their tail in a new epoch."""
    if not store.outlives_process:
        pytest.skip("what it holds is gone with it")
    if store.name == "redis":
        pytest.skip("its cluster offers them: another process may still fill them")
    await appended(store, [END], await opened(store, "gen_over"), 1)
    request = GenerationRequest(model="m", messages=(Message(role="user", content="hi"),), temperature=0.5)
    record = StreamRecord(
        id="gen_1", owner="anna", model="m", created_at=1.125, metadata={"a": "ä"}, request=request, grace=5.0
    )
    fence = await store.create(record, [Started("gen_1", "m", 1.125)])
    assert isinstance(fence, Fence)
    await store.mark_running(fence)
    await appended(store, [Delta("a")], fence, 1)
    before = await store.tail("gen_1")
    await store.close()

    assert list(await store.open()) == [msgspec.structs.replace(record, running=True)]
    new = await store.acquire("gen_1")
    with pytest.raises(Fenced):
        await appended(store, [Delta("late")], fence, 2)
    await appended(store, [Delta("b"), END], new, 2)
    found = await read(store, "gen_1", before, 10)
    assert not isinstance(found, Gap)
    assert [(entry.epoch, entry.event) for entry in found] == [(new.epoch, Delta("b")), (new.epoch, END)]


async def test_nothing_is_taken_after_the_close(store: Store) -> None:
    """What comes too late is refused, not lost."""
    if not store.outlives_process:
        pytest.skip("what it holds is gone with it")
    fence = await opened(store)
    queued = store.append([Delta("a"), END], fence=fence, expected=1)
    await store.close()
    assert (await queued if isinstance(queued, Future) else queued) == 3
    with pytest.raises(StoreUnavailable):
        await appended(store, [Delta("b")], fence, 2)
    with pytest.raises(StoreUnavailable):
        await events_of(store)
    await store.open()
    assert len(await events_of(store)) == 3


async def test_what_is_kept_of_a_request(store: Store, tmp_path: Path) -> None:
    """Once the stream has ended the question is left of its request, in the file too; its system prompt is not."""
    messages = (Message(role="system", content="secret"), Message(role="user", content="why?"))
    request = GenerationRequest(model="m", messages=messages, extra={"tools": [1]})
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0, request=request)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    await appended(store, [END], fence, 1)
    left = GenerationRequest(model="m", messages=messages[1:])
    assert (await store.look("gen_1")).record.request == left
    if store.outlives_process:
        await store.close()
        again = store if store.name == "redis" else sqlite(Clock(1000.0), tmp_path)
        await again.open()
        assert ((await again.look("gen_1")).record).request == left
        await again.close()
