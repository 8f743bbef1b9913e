from __future__ import annotations

import asyncio
import gc
from asyncio import Future

import pytest
from engine_kit import until_end

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Started, Usage
from tidegate.core.notices import Reconnect
from tidegate.errors import StreamNotFound
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, Found, StreamRecord
from tidegate.streams.reader import Reader

pytestmark = pytest.mark.anyio


class SlowStore(MemoryStore):
    """Looks at once and answers later, as a disk does."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.looks = 0

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Future[Found]:  # type: ignore[override]
        self.looks += 1
        found = super().read(stream, after, limit=limit, max_bytes=max_bytes)
        loop = asyncio.get_running_loop()
        answer: Future[Found] = loop.create_future()
        loop.call_later(0.01, answer.set_result, found)
        return answer


async def test_what_is_appended_while_a_store_is_looking_is_not_missed() -> None:
    """A read that was under way when the event came does not have it; the reader looks again, by itself."""
    store = SlowStore()
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    reader = Reader(store, "gen_1", after=None, live_from=0, batch=BatchPolicy(), on_close=lambda _: None)
    reading = asyncio.create_task(collect(reader))
    for looks in (2, 3):
        while store.looks < looks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        store.append([Delta(str(looks))], fence=fence, expected=looks - 1)
    store.append([Completed("stop", Usage(1, 1, 2))], fence=fence, expected=3)
    async with asyncio.timeout(2):
        assert await reading == [1, 2, 3, 4]
    reader.close()


async def test_who_is_sent_away_is_given_what_was_held_back_first() -> None:
    """A batch that waits goes out, and the notice right behind it: `more` says that there is something left to take."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started("gen_1", "m", 1.0)])
    assert isinstance(fence, Fence)
    reader = Reader(store, "gen_1", after=None, live_from=0, batch=BatchPolicy(100, 10_000), on_close=lambda _: None)
    reader.take(0.0)
    store.append([Delta("held")], fence=fence, expected=1)
    assert reader.take(0.0) is None
    notice = Reconnect(1000, "age")
    reader.ask_to_reconnect(notice)
    held = reader.take(0.0)
    assert [entry.event for entry in held] == [Delta("held")]  # type: ignore[union-attr]
    assert reader.more
    assert reader.take(0.0) is notice
    reader.close()


async def collect(reader: Reader) -> list[int]:
    return [entry.offset async for entry in until_end(reader)]


class LateStore(MemoryStore):
    """Answers when a test lets it."""

    def read(self, *args: object, **named: object) -> Future[Found]:  # type: ignore[override]
        self.answer: Future[Found] = asyncio.get_running_loop().create_future()
        return self.answer


async def test_a_look_that_fails_after_its_reader_has_left_is_nobodys_error() -> None:
    """A stream may be forgotten while the store is looking for what a reader, that is gone, wanted of it."""
    store = LateStore(max_generation_bytes=1 << 20)
    await store.create(StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0), [Started("gen_1", "m", 1.0)])
    reader = Reader(store, "gen_1", after=None, live_from=0, batch=BatchPolicy(), on_close=lambda _: None)
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    assert reader.take(0.0) is None
    reader.close()
    store.answer.set_exception(StreamNotFound("it is forgotten"))
    await asyncio.sleep(0)
    del store.answer, reader
    gc.collect()
    assert unheard == []
