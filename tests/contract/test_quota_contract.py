"""One suite over all stores: who gives way where too much is kept."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from eventually_kit import eventually
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Event, Published, Started, Usage
from tidegate.core.topic import topic_id
from tidegate.errors import StorageFull, StreamNotFound
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence, Share, StreamRecord
from tidegate.stores.redis.store import RedisSettings, RedisStore
from tidegate.stores.redis.url import parse
from tidegate.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

EACH = 100_000
TOTAL = 250_000
END = Completed("stop", Usage(1, 1, 2))
Embedded = MemoryStore | SqliteStore
Ours = Embedded | RedisStore


def now() -> float:
    return 1000.0


def memory(_: Path, each: int = EACH, total: int = TOTAL) -> Embedded:
    return MemoryStore(
        max_generation_bytes=1 << 20, max_stored_bytes_each=each, max_stored_bytes=total, topic_history=50, now=now
    )


def sqlite(folder: Path, each: int = EACH, total: int = TOTAL) -> Embedded:
    return SqliteStore(
        folder / "store.db",
        max_generation_bytes=1 << 20,
        max_stored_bytes_each=each,
        max_stored_bytes=total,
        topic_history=50,
        now=now,
    )


def redis(url: str) -> Ours:
    settings = RedisSettings(
        prefix="quota",
        max_generation_bytes=1 << 20,
        max_stored_bytes_each=EACH,
        max_stored_bytes=TOTAL,
        topic_history=50,
        retention_seconds=3600,
        patience_seconds=5,
    )
    return RedisStore(parse(url), settings, now=now)


Maker = Callable[[Path], Ours]


@pytest.fixture(params=[memory, sqlite, redis])
def make(request: pytest.FixtureRequest) -> Maker:
    if request.param is not redis:
        return request.param
    url = request.getfixturevalue("redis_url")
    return lambda _: redis(url)


@pytest.fixture
async def store(make: Maker, tmp_path: Path) -> AsyncIterator[Ours]:
    store = make(tmp_path)
    await store.open()
    yield store
    await store.close()


async def appended(store: Ours, events: Sequence[Event], fence: Fence, expected: int) -> int:
    answer = store.append(events, fence=fence, expected=expected)
    return await answer if isinstance(answer, Future) else answer


async def opened(store: Ours, stream: str, owner: str = "anna", claim: Claim | None = None) -> Fence:
    record = StreamRecord(id=stream, owner=owner, model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)], claim=claim)
    assert isinstance(fence, Fence)
    return fence


async def ended(store: Ours, stream: str, owner: str = "anna", size: int = 30_000) -> None:
    fence = await opened(store, stream, owner)
    await appended(store, [Delta("x" * size), END], fence, 1)


async def published(store: Ours, topic: str, sender: str, size: int = 10_000, *, state: bool = False) -> Cursor:
    event = Published(data=msgspec.Raw(b'"' + b"x" * size + b'"'), sender=sender, at=1000.0, state=state)
    answer = store.publish(topic_id(topic), event)
    return await answer if isinstance(answer, Future) else answer


async def charged(store: Ours, account: str) -> int:
    """How many bytes the account is charged for."""
    if not isinstance(store, RedisStore):
        return store.ledger.of(account)
    key = store.keys.charges_of(account)
    return int(await store.shards.ask(key, ("HGET", key, "sum"), within=2) or 0)


async def is_charged(store: Ours, account: str, size: int) -> bool:
    return await charged(store, account) == size


async def kept(store: Ours, streams: Sequence[str]) -> list[str]:
    found: list[str] = []
    for stream in streams:
        try:
            await store.look(stream)
            found.append(stream)
        except StreamNotFound:
            pass
    return found


async def topics(store: Ours, names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        try:
            if (await store.topic(topic_id(name))).published_at is not None:
                found.append(name)
        except StreamNotFound:
            pass
    return found


async def test_an_owners_own_oldest_give_way(store: Ours, caplog: pytest.LogCaptureFixture) -> None:
    """Past what one may have kept, its oldest ended streams are forgotten, and the log says whose and how many."""
    caplog.set_level("INFO")
    await ended(store, "gen_other", "ben")
    for n in range(5):
        await ended(store, f"gen_{n}")
    assert await kept(store, ["gen_other", *(f"gen_{n}" for n in range(5))]) == ["gen_other", "gen_3", "gen_4"]
    said = [record.message for record in caplog.records if "before their time" in record.message]
    assert len(said) == 3
    assert all("1 streams" in each and "of anna" in each for each in said)


async def test_what_is_live_is_kept_and_what_is_to_come_is_refused(store: Ours) -> None:
    """A caller whose live streams fill its account is told so; nothing has changed then, and an end always fits."""
    await ended(store, "gen_ended", size=5_000)
    fence = await opened(store, "gen_live")
    tail = await appended(store, [Delta("x" * 60_000)], fence, 1)
    with pytest.raises(StorageFull):
        await appended(store, [Delta("x" * 60_000)], fence, tail)
    assert (await store.tail("gen_live")).offset == tail
    assert await kept(store, ["gen_ended"]) == ["gen_ended"], "nothing is forgotten in vain"
    await opened(store, "gen_more_live")
    with pytest.raises(StorageFull):
        await asyncio.gather(*(opened(store, f"gen_{n}") for n in range(4)))
    await appended(store, [END], fence, tail)
    await ended(store, "gen_more")
    assert await kept(store, ["gen_live", "gen_more"]) == ["gen_more"]


async def test_one_caller_never_crowds_out_another(store: Ours) -> None:
    """However much a caller starts and publishes, what belongs to others stays, and others can go on."""
    await ended(store, "gen_ben", "ben")
    await published(store, "bens", "ben", 5_000)
    for n in range(12):
        await ended(store, f"gen_{n}", "mallory")
        await published(store, f"mallorys-{n}", "mallory")
    assert await kept(store, ["gen_ben"]) == ["gen_ben"]
    assert await topics(store, ["bens"]) == ["bens"]
    await ended(store, "gen_ben_2", "ben")


async def test_topics_that_only_the_publisher_is_in_give_way_after_its_streams(store: Ours) -> None:
    """Least lately published to first; where another has published, too, nobody's words are taken."""
    await published(store, "shared", "mallory")
    await published(store, "shared", "ben")
    await published(store, "old", "mallory")
    for n in range(20):
        await published(store, f"t{n % 10}", "mallory")
    assert await topics(store, ["shared", "old", "t9"]) == ["shared", "t9"]


async def test_a_watched_topic_makes_room_with_the_publishers_own(store: Ours) -> None:
    """Nobody is robbed of a topic that it reads; of the history the publisher's own oldest go."""
    await store.open_topic(topic_id("room"))
    store.watch(topic_id("room"), lambda: None)
    for _ in range(30):
        await published(store, "room", "mallory")
    record = await store.topic(topic_id("room"))
    assert record.tail.offset == 30
    assert 20 < record.earliest.offset < 30


async def test_a_publisher_that_has_nothing_to_give_is_refused(store: Ours) -> None:
    """Watched topics full of its messages, a last one each, are all it may have."""
    for n in range(20):
        await store.open_topic(topic_id(f"t{n}"))
        store.watch(topic_id(f"t{n}"), lambda: None)
    for n in range(8):
        await published(store, f"t{n}", "mallory")
    with pytest.raises(StorageFull):
        await published(store, "t8", "mallory")
    await published(store, "t0", "ben")


async def test_whoever_holds_most_gives_way_where_all_hold_too_much(store: Ours) -> None:
    """Past the sum it is the largest account whose streams are forgotten, whoever comes with more."""
    for n in range(3):
        await ended(store, f"gen_anna_{n}", "anna", 25_000)
    for n in range(3):
        await ended(store, f"gen_ben_{n}", "ben", 28_000)
    await ended(store, "gen_carl", "carl", 25_000)
    await ended(store, "gen_dora", "dora", 25_000)
    await ended(store, "gen_emil", "emil", 25_000)
    others = [*(f"gen_anna_{n}" for n in range(3)), "gen_carl", "gen_dora", "gen_emil"]
    assert await kept(store, others) == others
    assert "gen_ben_0" not in await kept(store, ["gen_ben_0"])


async def test_a_state_is_charged_until_it_is_replaced(store: Ours) -> None:
    """What late joiners get outlives the history, and is its publisher's as long."""
    await published(store, "board", "anna", 20_000, state=True)
    for _ in range(60):
        await published(store, "board", "ben", 100)
    assert await charged(store, "anna") > 20_000
    await published(store, "board", "ben", 100, state=True)
    await eventually(lambda: is_charged(store, "anna", 0))


STEP = st.tuples(
    st.sampled_from(["create", "append", "end", "forget", "publish", "state", "share", "unshare", "expire"]),
    st.sampled_from(["anna", "ben"]),
    st.integers(0, 3),
    st.sampled_from([1, 500, 20_000]),
)


class Caller:
    """Does what hypothesis says, and takes no for an answer."""

    def __init__(self, store: Ours) -> None:
        self.store = store
        self.fences: dict[str, tuple[Fence, int]] = {}
        self.made = 0

    async def step(self, what: str, owner: str, n: int, size: int) -> None:
        stream = f"gen_{owner}_{n}"
        with suppress(StorageFull, StreamNotFound):
            await getattr(self, what)(stream, owner, size)

    async def create(self, stream: str, owner: str, size: int) -> None:
        if stream not in self.fences and not await kept(self.store, [stream]):
            self.made += 1
            self.fences[stream] = await opened(self.store, stream, owner, Claim(f"{owner} {self.made}", b"")), 1

    async def append(self, stream: str, owner: str, size: int) -> None:
        if stream in self.fences:
            fence, tail = self.fences[stream]
            self.fences[stream] = fence, await appended(self.store, [Delta("é" * size)], fence, tail)

    async def end(self, stream: str, owner: str, size: int) -> None:
        if stream in self.fences:
            fence, tail = self.fences.pop(stream)
            await appended(self.store, [END], fence, tail)

    async def forget(self, stream: str, owner: str, size: int) -> None:
        self.fences.pop(stream, None)
        await self.store.forget(stream)

    async def publish(self, stream: str, owner: str, size: int) -> None:
        await published(self.store, stream[-1], owner, size)

    async def state(self, stream: str, owner: str, size: int) -> None:
        await published(self.store, stream[-1], owner, size, state=True)

    async def share(self, stream: str, owner: str, size: int) -> None:
        self.made += 1
        await self.store.share(Share(b"%d" % self.made, stream, 2000.0))

    async def unshare(self, stream: str, owner: str, size: int) -> None:
        await self.store.unshare(stream)

    async def expire(self, stream: str, owner: str, size: int) -> None:
        await self.store.expire(now() + 1)


@settings(max_examples=15)
@given(steps=st.lists(STEP, max_size=40))
def test_accounts_add_up_after_anything(steps: list[tuple[str, str, int, int]]) -> None:
    """What all are charged is the sum of what each is, never beyond the limits, and nothing once nothing is kept."""

    async def run(make: Callable[[Path], Embedded], folder: Path) -> None:
        store = make(folder)
        await store.open()
        caller = Caller(store)
        for step in steps:
            await caller.step(*step)
            assert store.ledger.sum == store.ledger.of("anna") + store.ledger.of("ben")
            assert max(store.ledger.of("anna"), store.ledger.of("ben")) <= EACH + 20_000
        for stream in [f"gen_{owner}_{n}" for owner in ("anna", "ben") for n in range(4)]:
            await caller.step("forget", *stream.split("_")[1:2], int(stream[-1]), 0)
        await store.expire(now() + 1)
        assert store.ledger.sum == 0
        await store.close()

    for make in (memory, sqlite):
        with TemporaryDirectory() as folder:
            asyncio.run(run(make, Path(folder)))


async def test_accounts_outlive_a_store_that_outlives_itself(make: Maker, tmp_path: Path) -> None:
    """After a restart the same is charged for what has ended; what was published is its senders' once it is read."""
    store = make(tmp_path)
    await store.open()
    if not store.outlives_process:
        pytest.skip("what it holds is gone with the process")
    await ended(store, "gen_1")
    await store.share(Share(b"1", "gen_1", 2000.0))
    await published(store, "room", "ben")
    before = [await charged(store, name) for name in ("anna", "ben")]
    await store.close()
    again = make(tmp_path)
    await again.open()
    assert await charged(again, "anna") == before[0]
    await again.topic(topic_id("room"))
    assert await charged(again, "ben") == before[1]
    await again.close()
