from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable

import pytest

from tests.eventually_kit import eventually
from tidegate.core.events import Completed, Delta, ErrorInfo, Failed, Started, Terminal, Usage
from tidegate.core.kept_log import RELEASED
from tidegate.core.log import NO_LIMIT, Entry, Page
from tidegate.errors import StreamEnded, StreamNotFound
from tidegate.stores.ledger import BLOCK_BYTES, STREAM_BYTES
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence, Share, StreamRecord

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))
STREAM = STREAM_BYTES + 1500
ROOM = 3 * STREAM + BLOCK_BYTES
"""Ended streams of 1000 bytes, so many that there is room to fill another."""


async def ended(store: MemoryStore, stream: str, size: int, *, owner: str = "anna", end: Terminal = END) -> None:
    record = StreamRecord(id=stream, owner=owner, model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)], claim=Claim(stream, b""))
    assert isinstance(fence, Fence)
    store.append([Delta("x" * size), end], fence=fence, expected=1)


async def test_what_gives_way_takes_its_key_and_its_shares_along() -> None:
    """No token and no key leads to a stream that has gone before its time."""
    store = MemoryStore(max_generation_bytes=10_000, max_stored_bytes_each=ROOM, now=lambda: 1000.0)
    await ended(store, "gen_0", 1000)
    await store.share(Share(b"0", "gen_0", 2000))
    for index in range(1, 4):
        await ended(store, f"gen_{index}", 1000)
    assert await store.shared(b"0") is None
    assert await store.claimed(Claim("gen_0", b"")) is None


async def test_what_is_forgotten_makes_room() -> None:
    """A deleted or expired stream no longer counts."""
    store = MemoryStore(max_generation_bytes=10_000, max_stored_bytes_each=ROOM)
    for index in range(3):
        await ended(store, f"gen_{index}", 1000)
    await store.forget("gen_1")
    await ended(store, "gen_3", 1000)
    await store.look("gen_0")


async def test_what_is_being_read_goes_last() -> None:
    """A stream with a reader outlives those that nobody reads."""
    store = MemoryStore(max_generation_bytes=10_000, max_stored_bytes_each=ROOM)
    await ended(store, "gen_0", 1000)
    store.watch("gen_0", lambda: None)
    for index in range(1, 4):
        await ended(store, f"gen_{index}", 1000)
    await store.look("gen_0")
    with pytest.raises(StreamNotFound):
        await store.look("gen_1")


async def test_memory_is_counted_as_it_is_taken() -> None:
    """A text is kept as UTF-8: one wide character does not make every other one wide."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    await ended(store, "gen_0", 100_000)
    plain = store.ledger.sum
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    store.append([Delta("x" * 99_999 + "\U0001f600"), END], fence=fence, expected=1)
    assert store.ledger.sum - plain == pytest.approx(plain, abs=100)


async def test_a_stream_that_has_ended_is_charged_less() -> None:
    """What an ended stream gives back, its owner can use: a token counts as little more than its text."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    record = StreamRecord(id="gen_0", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_0", "m", 1.0)])
    assert isinstance(fence, Fence)
    for offset in range(1, 2001):
        store.append([Delta(" word")], fence=fence, expected=offset)
    live = store.ledger.of("anna")
    store.append([END], fence=fence, expected=2001)
    assert live > 2000 * 150
    await eventually(lambda: store.ledger.of("anna") < STREAM_BYTES + 2000 * 10)
    found = store.read("gen_0", None, limit=5000, max_bytes=1 << 20)
    assert isinstance(found, Page)
    assert [entry.event for entry in found.entries] == [Started("gen_0", "m", 1.0), *[Delta(" word")] * 2000, END]
    assert store.append([END], fence=fence, expected=2001) == 2002
    with pytest.raises(StreamEnded):
        store.append([END], fence=fence, expected=2002)
    await store.forget("gen_0")
    assert store.ledger.of("anna") == 0


async def test_what_is_forgotten_while_it_is_packed_is_given_back_once() -> None:
    """A stream that is deleted right after its end leaves nothing in the account."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    await ended(store, "gen_0", 1000)
    await store.forget("gen_0")
    await ended(store, "gen_1", 1000)
    alone = MemoryStore(max_generation_bytes=1 << 20)
    await ended(alone, "gen_1", 1000)
    await eventually(lambda: store.ledger.of("anna") < STREAM)
    await eventually(lambda: store.ledger.of("anna") == alone.ledger.of("anna"))


async def long(store: MemoryStore) -> tuple[Entry, Entry]:
    """Its first and its last token, which say by their references whether the log still has them."""
    record = StreamRecord(id="gen_0", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_0", "m", 1.0)])
    assert isinstance(fence, Fence)
    for begun in range(8):
        store.append([Delta(" word")] * RELEASED, fence=fence, expected=1 + begun * RELEASED)
    store.append([END], fence=fence, expected=8 * RELEASED + 1)
    page = store.read("gen_0", None, limit=NO_LIMIT, max_bytes=NO_LIMIT)
    assert isinstance(page, Page)
    return page.entries[1], page.entries[-2]


async def forget(store: MemoryStore) -> None:
    await store.forget("gen_0")


async def expire(store: MemoryStore) -> None:
    assert await store.expire(1001.0) == 1


async def evict(store: MemoryStore) -> None:
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    store.append([Delta("x" * 7_000_000)], fence=fence, expected=1)
    with pytest.raises(StreamNotFound):
        await store.look("gen_0")


@pytest.mark.parametrize("turns_before", [0, 2])
@pytest.mark.parametrize("go", [forget, expire, evict])
async def test_what_is_forgotten_is_freed_in_steps(
    go: Callable[[MemoryStore], Awaitable[None]], turns_before: int
) -> None:
    """A long log that goes before it is packed holds up nobody, and is packed no further: it is gone in a few turns."""
    store = MemoryStore(max_generation_bytes=1 << 23, max_stored_bytes_each=8_000_000, now=lambda: 1000.0)
    first, last = await long(store)
    held = sys.getrefcount(first), sys.getrefcount(last)
    for _ in range(turns_before):
        await asyncio.sleep(0)
    await go(store)
    assert (sys.getrefcount(first), sys.getrefcount(last)) == held
    for _ in range(2):
        await asyncio.sleep(0)
    assert (sys.getrefcount(first), sys.getrefcount(last)) == (held[0] - 1, held[1])
    for _ in range(8):
        await asyncio.sleep(0)
    assert sys.getrefcount(last) < held[1]


async def test_a_closed_store_keeps_nothing() -> None:
    """Not even what it was about to pack: its streams are gone when it has closed."""

    def wake() -> None:
        pass

    store = MemoryStore(max_generation_bytes=10_000)
    await ended(store, "gen_0", 1000)
    store.watch("gen_0", wake)
    kept = weakref.ref(wake)
    del wake
    assert kept() is not None
    await store.close()
    assert kept() is None


async def test_packing_costs_nobody_anything() -> None:
    """A short stream with a long end, which packed would count as more than before, is charged what it was."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    failed = Failed(ErrorInfo("server_error", "stalled", "x" * 4000), Usage(1, 0, 1))
    await ended(store, "gen_0", 0, end=failed)
    before = store.ledger.of("anna")
    await ended(store, "gen_1", 1000, owner="bert")
    unpacked = store.ledger.of("bert")
    await eventually(lambda: store.ledger.of("bert") < unpacked)
    assert store.ledger.of("anna") == before


def test_a_store_that_outlives_its_loop_packs_on_the_next() -> None:
    """Applications that share a store, each under an `asyncio.run` of its own, are all charged what is packed."""
    store = MemoryStore(max_generation_bytes=1 << 20)

    async def unpacked() -> None:
        await long(store)

    async def packed() -> None:
        await ended(store, "gen_1", 1000, owner="bert")
        await eventually(lambda: store.ledger.of("anna") < 8 * RELEASED * 10)
        await eventually(lambda: store.ledger.of("bert") < STREAM)

    asyncio.run(unpacked())
    assert store.ledger.of("anna") > 8 * RELEASED * 100
    asyncio.run(packed())
