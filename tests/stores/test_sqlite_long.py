from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, GenerationRequest, Message, Started, Usage
from tidegate.core.log import Entry, Page
from tidegate.core.notices import Gap
from tidegate.errors import Fenced, OffsetMismatch, StreamEnded
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.sqlite.reader import WHOLE_BYTES
from tidegate.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))
PIECE = 60_000
PIECES = WHOLE_BYTES // PIECE + 5


@pytest.fixture
async def long(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, Fence]]:
    """A store that was opened after a stream longer than is held in memory had ended, and that stream's last fence."""
    store = SqliteStore(tmp_path / "store.db", max_generation_bytes=1 << 24)
    await store.open()
    await store.create(StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0), [Started("gen_1", "m", 1.0)])
    fence = await store.acquire("gen_1")
    tail = 1
    for n in range(PIECES):
        tail = await settled(store.append([Delta(f"{n} " + "x" * PIECE)], fence=fence, expected=tail))
    await settled(store.append([END], fence=fence, expected=tail))
    await store.close()
    await store.open()
    yield store, fence
    await store.close()


async def settled(answer: int | Future[int]) -> int:
    return await answer if isinstance(answer, Future) else answer


async def page(store: SqliteStore, after: Cursor | None, limit: int = 100, max_bytes: int = 3 * PIECE) -> Page | Gap:
    answer = store.read("gen_1", after, limit=limit, max_bytes=max_bytes)
    return await answer if isinstance(answer, Future) else answer


async def test_a_long_log_is_read_by_the_page(long: tuple[SqliteStore, Fence]) -> None:
    """However long an answer was, a reader that is slow at it holds a page, and gets every event once, in order."""
    store, _ = long
    entries: list[Entry] = []
    after, more = None, True
    while more:
        found = await page(store, after)
        assert isinstance(found, Page)
        assert sum(entry.size for entry in found.entries) <= 3 * PIECE
        entries += found.entries
        after, more = found.after, found.more
    assert [entry.offset for entry in entries] == list(range(1, PIECES + 3))
    assert [str(entry.event.text).split()[0] for entry in entries if isinstance(entry.event, Delta)] == [
        str(n) for n in range(PIECES)
    ]
    assert entries[0].epoch != entries[-1].epoch
    assert entries[-1].cursor == await store.tail("gen_1")
    assert after == await store.tail("gen_1")


async def test_a_position_that_never_was_in_a_long_log_is_a_gap(long: tuple[SqliteStore, Fence]) -> None:
    """Foreign and future positions lead to the beginning, as they do in a short one."""
    store, _ = long
    tail = await store.tail("gen_1")
    for asked in (Cursor("zzzz", 3), Cursor(tail.epoch, tail.offset + 1), Cursor(tail.epoch, 0)):
        found = await page(store, asked)
        assert isinstance(found, Gap)
        assert found.to.offset == 0
    assert await page(store, tail) == Page([], tail, more=False)


async def test_an_append_to_a_long_log_can_be_repeated(long: tuple[SqliteStore, Fence]) -> None:
    """Whoever did not hear the answer asks again, after the end, too; what is another append is refused."""
    store, fence = long
    again = [Delta("3 " + "x" * PIECE)]
    assert await settled(store.append(again, fence=fence, expected=4)) == 5
    assert await settled(store.append([END], fence=fence, expected=PIECES + 1)) == PIECES + 2
    for events, expected, error in (
        ([Delta("other")], 4, OffsetMismatch),
        (again, PIECES + 2, StreamEnded),
        ([END], 4, OffsetMismatch),
    ):
        with pytest.raises(error):
            await settled(store.append(events, fence=fence, expected=expected))
    with pytest.raises(Fenced):
        await settled(store.append(again, fence=Fence("gen_1", "zzzz"), expected=4))


async def test_a_list_reads_no_long_requests(tmp_path: Path) -> None:
    """A page of streams costs what it shows; each of them by itself still has its question."""
    store = SqliteStore(tmp_path / "asked.db", max_generation_bytes=1 << 24)
    await store.open()
    request = GenerationRequest(model="m", messages=(Message(role="user", content="q" * 100_000),))
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0, request=request)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    await settled(store.append([END], fence=fence, expected=1))
    await store.close()
    await store.open()
    (listed,) = await store.list(owner="anna", status=None, before=None, limit=10)
    assert listed.record.request is None
    assert (await store.tail("gen_1")).offset == 2
    found = (await store.look("gen_1")).record.request
    assert found is not None
    assert found.question == "q" * 100_000
    await store.close()
