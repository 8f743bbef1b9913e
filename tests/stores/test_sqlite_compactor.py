from __future__ import annotations

import asyncio
import random
import sqlite3
from asyncio import Future, TimerHandle
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from sqlite3 import Connection
from typing import Any

import pytest

from tidegate.core.events import Completed, Delta, Event, Started, Usage
from tidegate.core.log import Log
from tidegate.stores.records import StreamRecord
from tidegate.stores.sqlite import changes, journal, rows, schema
from tidegate.stores.sqlite.compactor import Compactor
from tidegate.stores.sqlite.journal import append_json
from tidegate.stores.sqlite.rows import to_json
from tidegate.stores.sqlite.stream_cache import Held

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))


class Disk:
    """A database, and a compactor whose transactions are run, and whose answers are given, when a test says so."""

    def __init__(self, connection: Connection, *, journal_bytes: int) -> None:
        self.connection = connection
        self.compacted: list[Held] = []
        self.compactor = Compactor(self.compacted.append, journal_bytes=journal_bytes, segment_bytes=300)
        self.asked: tuple[Callable[[Connection], Any], Future[Any]] | None = None
        self.written: Future[Any] | None = None
        self.again: Callable[[], None] | None = None
        self.streams: list[Held] = []
        self._row = 0
        self.compactor.open(self._change, self._later)

    def _change(self, change: Callable[[Connection], Any]) -> Future[Any]:
        assert self.asked is None, "one transaction is under way at a time"
        answer: Future[Any] = asyncio.get_running_loop().create_future()
        self.asked = change, answer
        return answer

    def _later(self, _: float, again: Callable[[], None]) -> TimerHandle:
        self.again = again
        return asyncio.get_running_loop().call_later(3600, again)

    def create(self) -> Held:
        key = len(self.streams) + 1
        record = StreamRecord(id=f"gen_{key}", owner="anna", model="m", created_at=1.0)
        log = Log("e")
        log.append([Started(record.id, "m", 1.0)])
        rows.insert(self.connection, key, record, log.epochs, None)
        first = log.read(None, limit=1, max_bytes=1 << 20)
        self.connection.execute("INSERT INTO batches VALUES (?, 1, ?)", (key, to_json(first.entries)))  # type: ignore[union-attr]
        held = Held(key, record, log=log, batched=1)
        self.streams.append(held)
        return held

    def append(self, *appends: tuple[Held, Sequence[Event]]) -> None:
        """Commits the appends together, and tells the compactor."""
        written: list[bytes] = []
        for held, events in appends:
            before = held.whole.cursor
            held.whole.append(events)
            page = held.whole.read(before, limit=100, max_bytes=1 << 20)
            written.append(append_json(held.key, held.whole.cursor.offset, page.entries))  # type: ignore[union-attr]
            if events[-1] == END:
                self.compactor.ended(held)
        self._row += 1
        size = journal.insert(self.connection, self._row, written)
        self.compactor.journaled([held for held, _ in appends], self._row, self._row, size)

    def forget(self, held: Held) -> None:
        changes.forget(self.connection, held.key, held.record.id)
        self.compactor.forget(held)

    def write(self) -> None:
        """Runs the transaction that was asked for; its answer has still to be given."""
        if self.asked is not None:
            change, self.written = self.asked
            self.asked = None
            change(self.connection)

    async def tell(self) -> None:
        """Gives the answer of what was written."""
        if self.written is not None:
            self.written.set_result(None)
            self.written = None
            await asyncio.sleep(0)

    async def fail(self) -> None:
        """Answers that the transaction could not be written."""
        if self.asked is not None:
            _, answer = self.asked
            self.asked = None
            answer.set_exception(sqlite3.OperationalError("full"))
            await asyncio.sleep(0)

    def try_again(self) -> None:
        if self.again is not None:
            again, self.again = self.again, None
            again()

    async def settle(self) -> None:
        while self.asked or self.written or self.again:
            self.write()
            await self.tell()
            self.try_again()

    def tail(self, held: Held) -> int | None:
        """The offset that a process which finds the database as it is now would go on from."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            self.connection.backup(copy)
            journal.compact(copy)
            return copy.execute("SELECT max(last) FROM batches WHERE stream = ?", (held.key,)).fetchone()[0]

    @property
    def rows(self) -> int:
        return self.connection.execute("SELECT count(*) FROM journal").fetchone()[0]


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.make(connection)
        yield connection


async def test_what_comes_while_a_piece_is_written_is_kept(connection: Connection) -> None:
    """Its rows stay until it is in a batch, too, though a large log of another stream is put together before."""
    disk = Disk(connection, journal_bytes=0)
    slow, large = disk.create(), disk.create()
    disk.append((slow, [Delta("a" * 400)]))
    disk.append((slow, [Delta("b" * 400)]))
    disk.append((large, [Delta("c" * 300_000), END]))
    for _ in range(4):
        disk.write()
        await disk.tell()
        assert (disk.tail(slow), disk.tail(large)) == (3, 3)


async def test_rows_go_only_when_all_that_is_in_them_is_in_batches(connection: Connection) -> None:
    """The stream that has been in the journal for longest decides, not the one that came last."""
    disk = Disk(connection, journal_bytes=1 << 20)
    slow, quick = disk.create(), disk.create()
    disk.append((slow, [Delta("a" * 400)]))
    disk.append((slow, [Delta("b" * 400)]))
    disk.append((quick, [Delta("c" * 400), END]))
    await disk.settle()
    assert disk.compacted == [quick]
    assert disk.tail(slow) == 3


async def test_a_stream_that_is_forgotten_while_its_piece_is_written_keeps_no_rows(connection: Connection) -> None:
    """What was appended meanwhile goes with the stream, without anything else being written."""
    disk = Disk(connection, journal_bytes=0)
    held = disk.create()
    disk.append((held, [Delta("a")]))
    disk.append((held, [Delta("b" * 400)]))
    disk.append((held, [Delta("c" * 400)]))
    disk.forget(held)
    await disk.settle()
    assert disk.rows == 0


class Workload:
    """Streams that are created, appended to together, ended and forgotten, while compactions go on."""

    def __init__(self, disk: Disk, draw: random.Random) -> None:
        self.disk = disk
        self.draw = draw
        self.live = [disk.create() for _ in range(5)]
        self.kept = list(self.live)

    async def step(self) -> None:
        step = self.draw.choices(
            ("append", "write", "tell", "fail", "again", "forget", "create"), (50, 20, 18, 3, 4, 2, 3)
        )
        match step[0]:
            case "append" if self.live:
                self.disk.append(*map(self._append, self.draw.sample(self.live, self.draw.randint(1, len(self.live)))))
            case "write":
                self.disk.write()
            case "tell":
                await self.disk.tell()
            case "fail":
                await self.disk.fail()
            case "again":
                self.disk.try_again()
            case "forget" if self.kept:
                self.forget(self.draw.choice(self.kept))
            case _:
                self.live.append(self.disk.create())
                self.kept.append(self.live[-1])

    def _append(self, held: Held) -> tuple[Held, list[Event]]:
        events: list[Event] = [Delta("x" * self.draw.choice((1, 9, 300))) for _ in range(self.draw.randint(1, 3))]
        if self.draw.random() < 0.05:
            events.append(END)
            self.live.remove(held)
        return held, events

    def forget(self, held: Held) -> None:
        self.kept.remove(held)
        if held in self.live:
            self.live.remove(held)
        self.disk.forget(held)

    @property
    def is_kept(self) -> bool:
        return [self.disk.tail(held) for held in self.kept] == [held.cursor.offset for held in self.kept]


async def test_after_a_failure_streams_are_tried_one_by_one(connection: Connection) -> None:
    """The one that cannot be written waits behind the others, which are then written together again."""
    disk = Disk(connection, journal_bytes=1 << 20)
    streams = [disk.create() for _ in range(4)]
    disk.append(*((held, [END]) for held in streams))
    await disk.fail()
    disk.try_again()
    await disk.fail()
    disk.try_again()
    disk.write()
    await disk.tell()
    assert disk.compacted == streams[1:2]
    await disk.settle()
    assert disk.compacted[-1] == streams[0]
    assert (sorted(held.key for held in disk.compacted), disk.rows) == ([1, 2, 3, 4], 0)


async def test_rows_that_come_while_others_are_deleted_go_later(connection: Connection) -> None:
    """Small rows are counted together, but never with rows that are being deleted: they would stay for good."""
    disk = Disk(connection, journal_bytes=1 << 20)
    first, second = disk.create(), disk.create()
    disk.append((first, [Delta("a")]))
    disk.forget(first)
    disk.append((second, [END]))
    await disk.settle()
    assert (disk.compacted, disk.rows) == ([second], 0)


@pytest.mark.parametrize("seed", range(10))
async def test_nothing_acknowledged_is_lost_at_any_moment(connection: Connection, seed: int) -> None:
    """Whatever streams do, and whenever compactions are written, answered or fail: a process that dies then leaves
    every event to the next one. When all streams have ended or are forgotten, nothing is left in the journal."""
    draw = random.Random(f"compactor {seed}")
    disk = Disk(connection, journal_bytes=draw.choice((0, 1500, 1 << 20)))
    work = Workload(disk, draw)
    for _ in range(120):
        await work.step()
        assert work.is_kept
    for held in list(work.live):
        work.forget(held)
    await disk.settle()
    assert disk.rows == 0
    assert work.is_kept
