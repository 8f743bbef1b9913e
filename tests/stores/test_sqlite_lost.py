from __future__ import annotations

import asyncio
import os
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from eventually_kit import eventually

from tidegate.core.events import Delta, Started
from tidegate.core.log import Page
from tidegate.errors import StoreUnavailable
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.sqlite.store import SqliteStore
from tidegate.stores.sqlite.writer import Looks

pytestmark = pytest.mark.anyio

FILES = ("store.db", "store.db-wal", "store.db-shm")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    looks = Looks(idle_seconds=0.02, fresh_seconds=0)
    store = SqliteStore(tmp_path / "store.db", max_generation_bytes=1 << 20, looks=looks)
    await store.open()
    yield store
    await store.close()


async def opened(store: SqliteStore, stream: str = "gen_1") -> Fence:
    record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)])
    assert isinstance(fence, Fence)
    return fence


async def settled(answer: int | Future[int]) -> int:
    return await answer if isinstance(answer, Future) else answer


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


HARM = [
    *((harm, name) for harm in (delete, replace) for name in FILES),
    *((harm, name) for harm in (empty, cut) for name in FILES[:2]),
]


@pytest.mark.parametrize(("harm", "name"), HARM)
async def test_nothing_is_acknowledged_into_a_file_that_nobody_can_open(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None], name: str
) -> None:
    """Whatever becomes of the file under the store, the next append and the next stream are refused; the log says why,
    once."""
    fence = await opened(store)
    harm(tmp_path / name)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await settled(store.append([Delta("lost")], fence=fence, expected=1))
        with pytest.raises(StoreUnavailable):
            await opened(store, "gen_2")
    assert store.fault is not None
    said = [record.message for record in caplog.records if " is lost: " in record.message]
    assert len(said) == 1
    assert name in said[0]


async def test_nothing_is_said_of_writes_that_were_not_tried(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the file is gone, an append that waits behind a refused one proves nothing: the log does not say that the
    store can be written."""
    fence = await opened(store)
    (tmp_path / "store.db").unlink()
    for _ in range(3):
        first = store.append([Delta("a")], fence=fence, expected=1)
        # Handed over by itself, so that the second one is a group of its own.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answers = [first]
        with suppress(StoreUnavailable):
            answers.append(store.append([Delta("b")], fence=fence, expected=2))
        for answer in answers:
            with pytest.raises(StoreUnavailable):
                await settled(answer)
    said = [record.message for record in caplog.records]
    assert [message for message in said if "can be written again" in message] == []
    assert len([message for message in said if "cannot be written" in message]) == 1


async def test_a_loss_is_noticed_without_anybody_writing(store: SqliteStore, tmp_path: Path) -> None:
    """A server that nobody uses says that it cannot be used."""
    assert store.fault is None
    (tmp_path / "store.db").unlink()
    await eventually(lambda: store.fault is not None)


async def test_a_file_that_is_put_back_is_as_it_was(store: SqliteStore, tmp_path: Path) -> None:
    """Whoever moved the file by mistake moves it back: what was acknowledged is there, what was refused is not, and it
    goes on."""
    fence = await opened(store)
    await settled(store.append([Delta("kept")], fence=fence, expected=1))
    (tmp_path / "store.db").rename(tmp_path / "aside")
    with pytest.raises(StoreUnavailable):
        await settled(store.append([Delta("refused")], fence=fence, expected=2))
    (tmp_path / "aside").rename(tmp_path / "store.db")
    await eventually(lambda: store.fault is None)
    assert await settled(store.append([Delta("more")], fence=fence, expected=2)) == 3
    await store.close()
    await store.open()
    answer = store.read("gen_1", None, limit=10, max_bytes=1 << 20)
    found = await answer if isinstance(answer, Future) else answer
    assert isinstance(found, Page)
    assert [entry.event.text for entry in found.entries if isinstance(entry.event, Delta)] == ["kept", "more"]


async def test_a_store_that_grows_and_shrinks_is_not_lost(store: SqliteStore) -> None:
    """SQLite writes its log back, cuts it off and gives pages back all the time: nothing of it is taken for a loss."""
    for n in range(12):
        fence = await opened(store, f"gen_{n}")
        await settled(store.append([Delta("x" * 900_000)], fence=fence, expected=1))
        assert store.fault is None
    for n in range(12):
        await store.forget(f"gen_{n}")
    await store.expire(0)
    await opened(store, "gen_last")
    assert store.fault is None
