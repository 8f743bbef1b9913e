from __future__ import annotations

import pytest

from tests.eventually_kit import eventually
from tidegate.core.events import Completed, Delta, ErrorInfo, Failed, Started, Terminal, Usage
from tidegate.core.log import Page
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
