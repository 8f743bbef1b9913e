from __future__ import annotations

import asyncio
import json
import sqlite3
from asyncio import Future
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from eventually_kit import eventually
from sqlite_kit import full_disk, held_up

from tidegate.core.events import Completed, Delta, Event, Started, Usage
from tidegate.core.log import Page
from tidegate.errors import ConfigError, StreamNotFound
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.sqlite import file
from tidegate.stores.sqlite.compactor import PIECE_ENTRIES
from tidegate.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))

STALL_SECONDS = 0.5

FORMAT_3 = """
PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
CREATE TABLE streams (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, model TEXT NOT NULL, status TEXT NOT NULL,
    running INTEGER NOT NULL, created_at REAL NOT NULL, ended_at REAL, tail INTEGER, size INTEGER, grace REAL,
    lease BLOB NOT NULL, claim TEXT UNIQUE, digest BLOB, epochs BLOB NOT NULL, metadata BLOB NOT NULL, "end" BLOB,
    request BLOB
);
CREATE INDEX streams_of_owner ON streams (owner);
CREATE INDEX streams_of_owner_by_status ON streams (owner, status);
CREATE INDEX streams_live ON streams (key) WHERE ended_at IS NULL;
CREATE INDEX streams_by_end ON streams (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE batches (
    stream INTEGER NOT NULL, last INTEGER NOT NULL, events BLOB NOT NULL, PRIMARY KEY (stream, last)
) WITHOUT ROWID;
CREATE TABLE shares (digest BLOB PRIMARY KEY, stream INTEGER NOT NULL, expires_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX shares_of_stream ON shares (stream);
CREATE TABLE topics (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, filler TEXT NOT NULL, epochs BLOB NOT NULL, tail INTEGER NOT NULL,
    size INTEGER NOT NULL, published_at REAL NOT NULL, state_epoch TEXT, state_offset INTEGER, state BLOB
);
CREATE INDEX topics_by_publication ON topics (published_at);
CREATE TABLE published (
    topic INTEGER NOT NULL, offset INTEGER NOT NULL, event BLOB NOT NULL, claim TEXT, digest BLOB,
    PRIMARY KEY (topic, offset)
) WITHOUT ROWID;
PRAGMA application_id = 1953064037; PRAGMA user_version = 3;

INSERT INTO streams VALUES (1, 'gen_ended', 'anna', 'm', 'completed', 1, 1.0, 2.0, 3, 93, NULL, x'', NULL, NULL,
    '[["aaaa",0]]', '{}',
    '{"type":"completed","finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}',
    NULL);
INSERT INTO batches VALUES (1, 3, '[{"type":"started","id":"gen_ended","model":"m","created_at":1.0},'
    || '{"type":"delta","text":"old"},{"type":"completed","finish_reason":"stop",'
    || '"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}]');
INSERT INTO streams VALUES (2, 'gen_live', 'anna', 'm', 'running', 1, 1.0, NULL, NULL, NULL, NULL, x'', NULL, NULL,
    '[["aaaa",0],["bbbb",2]]', '{}', NULL, NULL);
INSERT INTO batches VALUES (2, 1, '[{"type":"started","id":"gen_live","model":"m","created_at":1.0}]');
INSERT INTO batches VALUES (2, 2, '[{"type":"delta","text":"a"}]');
INSERT INTO batches VALUES (2, 4, '[{"type":"delta","text":"b"},{"type":"delta","text":"c"}]');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, max_generation_bytes=1 << 24)
    await store.open()
    yield store
    await store.close()


async def created(store: SqliteStore, stream: str) -> Fence:
    record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)])
    assert isinstance(fence, Fence)
    return fence


async def appended(store: SqliteStore, events: Sequence[Event], fence: Fence, expected: int) -> int:
    answer = store.append(events, fence=fence, expected=expected)
    return await answer if isinstance(answer, Future) else answer


async def texts(store: SqliteStore, stream: str) -> list[str]:
    answer = store.read(stream, None, limit=100_000, max_bytes=1 << 28)
    found = await answer if isinstance(answer, Future) else answer
    assert isinstance(found, Page)
    assert [entry.offset for entry in found.entries] == list(range(1, len(found.entries) + 1))
    return [entry.event.text for entry in found.entries if isinstance(entry.event, Delta)]


@contextmanager
def looking(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        yield other


def count(path: Path, what: str) -> int:
    with looking(path) as other:
        return other.execute(f"SELECT count(*) FROM {what}").fetchone()[0]


async def test_a_file_of_the_version_before_is_taken_over(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What ended there is read as it was; what was live goes on behind its own events, and outlives another start."""
    with looking(path) as other:
        other.executescript(FORMAT_3)
    store = SqliteStore(path, max_generation_bytes=1 << 20)
    assert [record.id for record in await store.open()] == ["gen_live"]
    assert "had format 3 and has format 4 now" in caplog.text
    assert await texts(store, "gen_ended") == ["old"]
    assert await texts(store, "gen_live") == ["a", "b", "c"]
    assert (await store.tail("gen_live")).epoch == "bbbb"
    fence = await store.acquire("gen_live")
    assert await appended(store, [Delta("d"), END], fence, 4) == 6
    for _ in range(2):
        await store.close()
        assert await store.open() == []
        assert await texts(store, "gen_live") == ["a", "b", "c", "d"]
    await store.close()


async def test_a_log_is_put_together_when_its_stream_has_ended(store: SqliteStore, path: Path) -> None:
    """Live events are in the journal, whatever their stream; soon after the end they are one batch, and not there."""
    fences = [await created(store, f"gen_{n}") for n in range(3)]
    for n in range(1, 21):
        await asyncio.gather(*(appended(store, [Delta(str(n))], fence, n) for fence in fences))
    assert count(path, "batches") == 3
    assert count(path, "journal") >= 20
    for fence in fences:
        await appended(store, [END], fence, 21)
    await eventually(lambda: count(path, "journal") == 0)
    assert count(path, "batches") == 3
    for fence in fences:
        assert await texts(store, fence.stream) == [str(n) for n in range(1, 21)]


def back_to_the_journal(path: Path, stream: int, keep: int) -> None:
    """Leaves `keep` events of the stream in its batch, and puts all of them into the journal."""
    with looking(path) as other:
        last, batch = other.execute("SELECT last, events FROM batches WHERE stream = ?", (stream,)).fetchone()
        events = json.loads(batch)
        other.execute("INSERT INTO journal (appends) VALUES (?)", (json.dumps([[stream, last, events]]).encode(),))
        other.execute(
            "UPDATE batches SET last = ?, events = ? WHERE stream = ?",
            (keep, json.dumps(events[:keep]).encode(), stream),
        )


@pytest.mark.parametrize("keep", [1, 2, 3])
async def test_a_log_is_put_together_at_the_next_opening_at_the_latest(
    store: SqliteStore, path: Path, keep: int
) -> None:
    """A process that dies before, or in the middle, leaves that to the next one, and no event is lost or doubled."""
    fence = await created(store, "gen_1")
    await appended(store, [Delta("a"), END], fence, 1)
    await eventually(lambda: count(path, "journal") == 0)
    await store.close()
    back_to_the_journal(path, 1, keep)
    assert await store.open() == []
    assert (count(path, "journal"), await texts(store, "gen_1")) == (0, ["a"])
    assert (await store.tail("gen_1")).offset == 3


async def test_what_the_journal_has_of_a_forgotten_stream_is_no_others(store: SqliteStore, path: Path) -> None:
    """A new stream gets nothing of one that was forgotten before it, though the process died in between."""
    fence = await created(store, "gen_1")
    await appended(store, [Delta("secret")], fence, 1)
    with looking(path) as other:
        rows = other.execute("SELECT number, appends FROM journal").fetchall()
    assert len(rows) == 1
    await store.forget("gen_1")
    await store.close()
    with looking(path) as other:
        other.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?)", rows)
    await store.open()
    await created(store, "gen_2")
    await store.close()
    assert [record.id for record in await store.open()] == ["gen_2"]
    assert await texts(store, "gen_2") == []
    with pytest.raises(StreamNotFound):
        await store.look("gen_1")


@pytest.mark.parametrize("together", [False, True])
async def test_what_is_forgotten_leaves_the_journal(store: SqliteStore, path: Path, *, together: bool) -> None:
    """No other stream has to end first, and it makes no difference whether the last append was committed with it."""
    fence = await created(store, "gen_1")
    answer = store.append([Delta("secret")], fence=fence, expected=1)
    if not together and isinstance(answer, Future):
        await answer
    await store.forget("gen_1")
    await eventually(lambda: count(path, "journal") == 0)


async def test_a_damaged_journal_is_found_at_the_start(store: SqliteStore, path: Path) -> None:
    """Events that nobody can read, or that do not follow the ones before them, are the operator's to decide about."""
    fence = await created(store, "gen_1")
    await appended(store, [Delta("a")], fence, 1)
    await appended(store, [Delta("b")], fence, 2)
    await store.close()
    with looking(path) as other:
        rows = other.execute("SELECT number, appends FROM journal").fetchall()
        for damage in (
            "UPDATE journal SET appends = '[[1,2,[{]]]'",
            f"DELETE FROM journal WHERE number = {rows[0][0]}",
        ):
            other.execute(damage)
            with pytest.raises(ConfigError, match="restore it from a backup"):
                await store.open()
            other.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?)", rows)
    await store.open()
    assert await texts(store, "gen_1") == ["a", "b"]


async def test_a_journal_that_cannot_be_compacted_at_the_start_is_not_damaged(store: SqliteStore, path: Path) -> None:
    """Where there is no room for the batches the operator is told to make some; then the store opens as it was."""
    fence = await created(store, "gen_1")
    for n in range(1, 101):
        await appended(store, [Delta(f"{n} " + "x" * 2000)], fence, n)
    await store.close()
    with full_disk(path), pytest.raises(ConfigError, match="make room on it, or") as refused:
        await store.open()
    assert "damaged (" not in str(refused.value)
    await store.open()
    assert len(await texts(store, "gen_1")) == 100


async def test_a_file_that_another_program_has_locked_is_not_damaged(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator is told to wait for that program, or to end it."""
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.01)
    fence = await created(store, "gen_1")
    await appended(store, [Delta("a")], fence, 1)
    await store.close()
    with held_up(path), pytest.raises(ConfigError, match="is locked by another program"):
        await store.open()
    await store.open()
    assert await texts(store, "gen_1") == ["a"]


def test_a_full_disk_at_the_start_is_told_as_such(path: Path) -> None:
    """What SQLite says of a disk without room becomes the advice to make some."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("CREATE TABLE t (x)")
    assert "make room on its disk" in str(file.unusable(path, full.value))


async def test_one_stream_that_lives_for_long_does_not_keep_the_rows_of_others(path: Path) -> None:
    """The journal is bounded while a stream is live: what a slow one has in it is compacted, too."""
    store = SqliteStore(path, max_generation_bytes=1 << 24, journal_bytes=20_000)
    await store.open()
    slow = await created(store, "gen_slow")
    for n in range(1, 31):
        await appended(store, [Delta(str(n))], slow, n)
        await appended(store, [Delta("x" * 20_000), END], await created(store, f"gen_{n}"), 1)
    largest = "(SELECT 1 FROM journal GROUP BY 1 HAVING sum(length(appends)) > 150000)"
    await eventually(lambda: count(path, largest) == 0)
    await eventually(lambda: len(batches(path, 1)) == 1)
    await store.close()
    await store.open()
    assert await texts(store, "gen_slow") == [str(n) for n in range(1, 31)]
    await store.close()


def batches(path: Path, stream: int) -> list[int]:
    with looking(path) as other:
        return [last for (last,) in other.execute("SELECT last FROM batches WHERE stream = ?", (stream,))]


async def test_a_long_log_is_compacted_by_the_piece(store: SqliteStore, path: Path) -> None:
    """However long an answer was, no transaction has more of it than is read at once, and none of it is missing."""
    fence = await created(store, "gen_1")
    tail = 1
    for _ in range(3):
        tail = await appended(store, [Delta(str(tail + n)) for n in range(PIECE_ENTRIES)], fence, tail)
    tail = await appended(store, [Delta("y" * 300_000), Delta("z"), END], fence, tail)
    await eventually(lambda: count(path, "journal") == 0)
    assert len(batches(path, 1)) >= 4
    await store.close()
    await store.open()
    found = await texts(store, "gen_1")
    assert (len(found), found[:3], found[-1]) == (tail - 2, ["1", "2", "3"], "z")


async def test_a_compaction_that_failed_is_tried_again(store: SqliteStore, path: Path) -> None:
    """While batches cannot be written, an ended log can be read; when they can be, it is put together."""
    with looking(path) as other:
        other.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON batches WHEN new.last > 1 BEGIN SELECT raise(FAIL, 'x'); END"
        )
        fence = await created(store, "gen_1")
        await appended(store, [Delta("a"), END], fence, 1)
        await appended(store, [Delta("b")], await created(store, "gen_2"), 1)
        assert (await texts(store, "gen_1"), batches(path, 1)) == (["a"], [1])
        other.execute("DROP TRIGGER refused")
    await eventually(lambda: batches(path, 1) == [3])
    assert await texts(store, "gen_1") == ["a"]


async def test_one_log_that_cannot_be_put_together_stops_no_other(
    store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are compacted in its place, before and behind it, and the operator is told of it once."""
    with looking(path) as other:
        other.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON batches WHEN new.stream = 1 AND new.last > 1 "
            "BEGIN SELECT raise(FAIL, 'refused'); END"
        )
    for n in range(1, 6):
        await appended(store, [Delta("a"), END], await created(store, f"gen_{n}"), 1)
    await eventually(lambda: [batches(path, n) for n in range(1, 6)] == [[1], [3], [3], [3], [3]])
    await appended(store, [Delta("a"), END], await created(store, "gen_6"), 1)
    await eventually(lambda: batches(path, 6) == [3])
    assert await texts(store, "gen_1") == ["a"]
    assert len([record for record in caplog.records if "refused" in record.message]) == 1
    assert not any("can be written again" in record.message for record in caplog.records)


async def test_a_store_that_was_closed_over_an_append_compacts_again(store: SqliteStore, path: Path) -> None:
    """What was being written at the close belongs to the next opening: the journal empties in the next life, too."""
    first = await created(store, "gen_1")
    queued = store.append([Delta("a"), END], fence=first, expected=1)
    await store.close()
    assert (await queued if isinstance(queued, Future) else queued) == 3
    assert await store.open() == []
    second = await created(store, "gen_2")
    await appended(store, [Delta("b"), END], second, 1)
    await eventually(lambda: count(path, "journal") == 0)
    assert (await texts(store, "gen_1"), await texts(store, "gen_2")) == (["a"], ["b"])


async def test_an_ended_stream_is_held_until_it_is_compacted(store: SqliteStore, path: Path) -> None:
    """An append to it can be repeated, and it can be forgotten before it is put together: then nothing of it is in the
    file, or counts for its owner there."""
    with looking(path) as other:
        other.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON batches WHEN new.last > 1 BEGIN SELECT raise(FAIL, 'x'); END"
        )
        fence = await created(store, "gen_1")
        await appended(store, [Delta("a"), END], fence, 1)
        assert await appended(store, [END], fence, 2) == 3
        await store.forget("gen_1")
        with pytest.raises(StreamNotFound):
            await texts(store, "gen_1")
        other.execute("DROP TRIGGER refused")
    await eventually(lambda: count(path, "journal") == 0)
    assert (count(path, "batches"), store.ledger.sum) == (0, 0)


async def test_a_disk_that_stalls_does_not_hold_the_loop(store: SqliteStore, path: Path) -> None:
    """While a commit hangs, all else that the loop has to do goes on, and nothing is shown early."""
    fences = [await created(store, f"gen_{n}") for n in range(20)]
    loop = asyncio.get_running_loop()
    turns: list[float] = [loop.time()]
    with held_up(path):
        answers = [asyncio.ensure_future(appended(store, [Delta("a")], fence, 1)) for fence in fences]
        while loop.time() < turns[0] + STALL_SECONDS:
            await asyncio.wait(answers, timeout=0.005)
            turns.append(loop.time())
            assert not any(answer.done() for answer in answers)
    assert await asyncio.gather(*answers) == [2] * 20
    # A loop that is held has one, after the stall.
    assert len(turns) > 4


async def test_what_a_turn_of_the_loop_brings_is_one_row(store: SqliteStore, path: Path) -> None:
    """Appends of many streams that come together are committed together, and each stream's readers are woken once."""
    fences = [await created(store, f"gen_{n}") for n in range(10)]
    woken: list[str] = []
    for fence in fences:
        store.watch(fence.stream, partial(woken.append, fence.stream))
    await asyncio.gather(
        *(appended(store, [Delta(text)], fence, n) for n, text in ((1, "a"), (2, "b")) for fence in fences)
    )
    assert count(path, "journal") == 1
    assert sorted(woken) == sorted(fence.stream for fence in fences)
