from __future__ import annotations

import pytest

from tidegate.core.events import Completed, Delta, Started, Usage
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Claim, Fence, Share, StreamRecord
from tidegate.stores.memory import STREAM_BYTES, MemoryStore

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))


async def ended(store: MemoryStore, stream: str, size: int) -> None:
    record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)], claim=Claim(stream, b""))
    assert isinstance(fence, Fence)
    store.append([Delta("x" * size), END], fence=fence, expected=1)


async def test_ended_streams_hold_no_more_than_their_share() -> None:
    """Memory is bounded: past the limit the streams that ended first go, with their keys, and live ones stay."""
    store = MemoryStore(max_generation_bytes=10_000, max_kept_bytes=2 * (STREAM_BYTES + 1200))
    live = StreamRecord(id="gen_live", owner="anna", model="m", created_at=1.0)
    await store.create(live, [Started("gen_live", "m", 1.0)])
    for index in range(4):
        await ended(store, f"gen_{index}", 1000)
    for gone in ("gen_0", "gen_1"):
        with pytest.raises(StreamNotFound):
            await store.get(gone)
        assert await store.claimed(Claim(gone, b"")) is None
    for kept in ("gen_2", "gen_3", "gen_live"):
        await store.get(kept)


async def test_a_stream_is_kept_at_its_end_however_long_it_is() -> None:
    """Readers that are about to read the end of a stream are not robbed of it."""
    store = MemoryStore(max_generation_bytes=10_000, max_kept_bytes=100)
    await ended(store, "gen_1", 5000)
    await store.get("gen_1")


async def test_what_is_forgotten_makes_room() -> None:
    """A deleted or expired stream no longer counts."""
    store = MemoryStore(max_generation_bytes=10_000, max_kept_bytes=2 * (STREAM_BYTES + 1200))
    await ended(store, "gen_0", 1000)
    await ended(store, "gen_1", 1000)
    await store.forget("gen_1")
    await ended(store, "gen_2", 1000)
    await store.get("gen_0")


async def test_what_makes_room_takes_its_shares_along() -> None:
    """No token leads to a stream that has gone before its time."""
    store = MemoryStore(max_generation_bytes=10_000, max_kept_bytes=100, now=lambda: 1000.0)
    for index in range(2):
        await ended(store, f"gen_{index}", 1000)
        await store.share(Share(b"%d" % index, f"gen_{index}", 2000))
    await ended(store, "gen_2", 1000)
    assert [await store.shared(b"%d" % index) for index in range(2)] == [None, None]


async def test_what_is_being_read_goes_last() -> None:
    """A stream with a reader outlives those that nobody reads."""
    store = MemoryStore(max_generation_bytes=10_000, max_kept_bytes=2 * (STREAM_BYTES + 1200))
    await ended(store, "gen_0", 1000)
    store.watch("gen_0", lambda: None)
    await ended(store, "gen_1", 1000)
    await ended(store, "gen_2", 1000)
    await store.get("gen_0")
    with pytest.raises(StreamNotFound):
        await store.get("gen_1")
