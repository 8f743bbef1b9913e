from __future__ import annotations

from asyncio import Future
from pathlib import Path

import pytest

from tidegate.core.events import Completed, Delta, Started, Usage
from tidegate.core.log import EVENT_BYTES, Log, Page
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.sqlite.store import SqliteStore
from tidegate.stores.sqlite.stream_cache import RECORD_BYTES, Held, StreamCache

SIZE = RECORD_BYTES + EVENT_BYTES + 1000


def a_log(size: int) -> Log:
    log = Log("aaaa")
    log.append([Delta("x" * (size - len('{"type":"delta","text":""}')))])
    return log


def held(stream: str, size: int = 1000) -> Held:
    log = a_log(size)
    record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
    return Held(1, record, log=log, cursor=log.cursor)


def kept(shelf: StreamCache, *streams: str) -> list[str]:
    return [stream for stream in streams if shelf.get(stream) is not None]


def test_what_was_asked_for_least_lately_goes_first() -> None:
    """Logs that can be read again make room for others once there are too many bytes of them."""
    shelf = StreamCache(max_bytes=2 * SIZE)
    shelf.put(held("a"))
    shelf.put(held("b"))
    assert shelf.get("a") is not None
    shelf.put(held("c"))
    assert kept(shelf, "a", "b", "c") == ["a", "c"]


def test_what_is_watched_stays() -> None:
    """No reader loses the stream under its hands, however much others read."""
    shelf = StreamCache(max_bytes=2 * SIZE)
    watched = held("a")
    watched.watchers[object()] = lambda: None
    shelf.put(watched)
    for stream in "bcd":
        shelf.put(held(stream))
    assert kept(shelf, "a", "b", "c", "d") == ["a", "d"]


def test_a_watched_log_is_let_go_where_it_can_be_read_again() -> None:
    """Who watches and does not read holds no log in memory: the stream stays, at its position."""
    shelf = StreamCache(max_bytes=2 * SIZE)
    watched = held("a", 1800)
    watched.watchers[object()] = lambda: None
    shelf.put(watched)
    shelf.put(held("b", 1800))
    assert watched.log is None
    assert watched.cursor.offset == 1


def test_one_that_is_longer_than_all_may_be_is_held_while_it_is_the_newest() -> None:
    """A log is held long enough to be read, and its bytes are given back when it goes."""
    shelf = StreamCache(max_bytes=2 * SIZE)
    shelf.put(held("long", 5000))
    assert kept(shelf, "long") == ["long"]
    shelf.put(held("a"))
    shelf.put(held("b"))
    assert kept(shelf, "long", "a", "b") == ["a", "b"]


def test_streams_without_their_logs_are_bounded_too() -> None:
    """Looking at a million records holds a few thousand of them."""
    shelf = StreamCache(max_streams=2)
    for stream in "abc":
        shelf.put(held(stream))
    assert kept(shelf, "a", "b", "c") == ["b", "c"]


def test_a_log_that_comes_later_counts() -> None:
    """A stream that was held without its log makes room for it when it is read, and only once."""
    shelf = StreamCache(max_bytes=2 * SIZE)
    shelf.put(held("a"))
    late = held("b")
    log, late.log = late.log, None
    shelf.put(late)
    shelf.put(held("c"))
    assert log is not None
    assert shelf.get("b") is late
    shelf.load("b", log)
    shelf.load("b", log)
    assert kept(shelf, "a", "b", "c") == ["b", "c"]


@pytest.mark.anyio
async def test_what_was_read_from_the_file_takes_little_memory(tmp_path: Path) -> None:
    """Half a million tokens of streams that have ended, once read, are read again without asking the file."""
    tokens, streams = 30_000, [f"gen_{number}" for number in range(16)]
    store = SqliteStore(tmp_path / "store.db", max_generation_bytes=1 << 24)
    await store.open()
    for stream in streams:
        record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
        fence = await store.create(record, [Started(stream, "m", 1.0)])
        assert isinstance(fence, Fence)
        answer = store.append([*[Delta(" word")] * tokens, Completed("stop", Usage(1, 1, 2))], fence=fence, expected=1)
        assert isinstance(answer, Future)
        await answer
    await store.close()
    await store.open()
    for stream in streams:
        first = store.read(stream, None, limit=512, max_bytes=65_536)
        assert isinstance(first, Future)
        assert isinstance(await first, Page)
    for stream in streams:
        again = store.read(stream, None, limit=512, max_bytes=65_536)
        assert isinstance(again, Page)
        assert again.more
    await store.close()
