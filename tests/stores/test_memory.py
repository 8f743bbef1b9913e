from __future__ import annotations

import pytest

from tidegate.core.events import Completed, Delta, Started, Usage
from tidegate.errors import StreamNotFound
from tidegate.stores.ledger import BLOCK_BYTES, STREAM_BYTES
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence, Share, StreamRecord

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))
STREAM = STREAM_BYTES + 1500
ROOM = 3 * STREAM + BLOCK_BYTES
"""Ended streams of 1000 bytes, so many that there is room to fill another."""


async def ended(store: MemoryStore, stream: str, size: int) -> None:
    record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)], claim=Claim(stream, b""))
    assert isinstance(fence, Fence)
    store.append([Delta("x" * size), END], fence=fence, expected=1)


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
