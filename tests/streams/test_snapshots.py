from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.core.events import Delta, Event, Reasoning, Started, ToolCall
from tidegate.core.fold import Fold, Snapshot, Summary
from tidegate.errors import StreamNotFound
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, StreamRecord
from tidegate.streams.snapshots import PAGE_BYTES, PIECE_CHARACTERS, WholeStream

pytestmark = pytest.mark.anyio

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = st.none() | st.sampled_from(["", "a", "b"])
EVENT: st.SearchStrategy[Event] = st.one_of(
    st.builds(Delta, TEXT),
    st.builds(Reasoning, TEXT),
    st.builds(ToolCall, st.integers(0, 3), NAME, NAME, TEXT),
)


def summary(cursor: str) -> Summary:
    return Summary(
        id="gen_1",
        model="m",
        status="running",
        queue_position=None,
        finish_reason=None,
        usage=None,
        error=None,
        cursor=cursor,
        created_at=1.0,
        ended_at=None,
        metadata={"k": "v"},
    )


async def filled(store: MemoryStore, events: list[Event]) -> Fence:
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    store.append(events, fence=fence, expected=1)
    return fence


async def whole_of(store: MemoryStore, question: str | None = None) -> WholeStream:
    tail = await store.tail("gen_1")
    asked = None if question is None else msgspec.Raw(msgspec.json.encode(question))
    return WholeStream(store, tail.offset, summary(str(tail)), tail, asked)


@settings(max_examples=50)
@given(events=st.lists(EVENT, max_size=30), question=st.none() | TEXT)
def test_a_snapshot_in_pieces_is_the_snapshot(events: list[Event], question: str | None) -> None:
    """Whatever a stream has, in whatever order, its pieces are the JSON of what it folds to."""

    async def run() -> None:
        store = MemoryStore(max_generation_bytes=1 << 20)
        await filled(store, events)
        whole = await whole_of(store, question)
        fold = Fold()
        page = store.read("gen_1", None, limit=1000, max_bytes=1 << 20)
        fold.add(page.entries)  # type: ignore[union-attr]
        expected = Snapshot(
            **msgspec.structs.asdict(whole.summary),
            question=None if question is None else msgspec.Raw(msgspec.json.encode(question)),
            text=fold.text,
            reasoning=fold.reasoning,
            tool_calls=fold.tool_calls,
        )
        told = msgspec.json.decode(b"".join([piece async for piece in whole.pieces()]))
        assert told == msgspec.json.decode(msgspec.json.encode(expected))

    asyncio.run(run())


async def test_no_piece_is_much_longer_than_a_page() -> None:
    """A text of a megabyte in one event, or in thousands, is never encoded in one turn of the loop."""
    store = MemoryStore(max_generation_bytes=1 << 24)
    await filled(store, [Delta("é" * (1 << 20)), *(Delta("word " * 10) for _ in range(10_000))])
    pieces = [piece async for piece in (await whole_of(store, "q" * (1 << 20))).pieces()]
    assert max(map(len, pieces)) <= max(2 * PIECE_CHARACTERS, PAGE_BYTES)
    assert len(msgspec.json.decode(b"".join(pieces))["text"]) == (1 << 20) + 500_000


async def test_what_comes_meanwhile_is_not_in_it() -> None:
    """A snapshot is of the moment at which it was asked for, whatever follows while it is read."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    fence = await filled(store, [Delta("a")])
    pieces = (await whole_of(store)).pieces()
    found = [await anext(pieces)]
    store.append([Delta("b")], fence=fence, expected=2)
    found += [piece async for piece in pieces]
    assert msgspec.json.decode(b"".join(found))["text"] == "a"


async def test_a_stream_that_is_forgotten_breaks_it_off() -> None:
    """Half a snapshot is never taken for a whole one."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    await filled(store, [Delta("a")])
    pieces = (await whole_of(store)).pieces()
    await anext(pieces)
    await store.forget("gen_1")
    with pytest.raises(StreamNotFound):
        [piece async for piece in pieces]
