from __future__ import annotations

import asyncio
import random
import sqlite3
from asyncio import Future, TimerHandle
from collections.abc import Callable, Iterator
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

    def append(self, *appends: tuple[Held, list[Event]]) -> None:
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
    """The rows since then hold it, until it is in a batch, too, although others come before the answer."""
    disk = Disk(connection, journal_bytes=0)
    slow, other = disk.create(), disk.create()
    disk.append((slow, [Delta("a")]))
    disk.append((slow, [Delta("b" * 400)]))
    disk.append((other, [Delta("c" * 400)]))
    disk.write()
    await disk.tell()
    for _ in range(8):
        disk.write()
        await disk.tell()
        assert disk.tail(slow) == slow.cursor.offset
        assert disk.tail(other) == other.cursor.offset


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


@pytest.mark.parametrize("seed", range(10))
async def test_nothing_acknowledged_is_lost_at_any_moment(connection: Connection, seed: int) -> None:
    """Whatever streams do, and whenever compactions are written, answered or fail: a process that dies then leaves every
    event to the next one. When all streams have ended or are forgotten, nothing is left in the journal."""
    draw = random.Random(f"compactor {seed}")
    disk = Disk(connection, journal_bytes=draw.choice((0, 1500, 1 << 20)))
    live = [disk.create() for _ in range(5)]
    kept = list(live)
    for _ in range(120):
        step = draw.random()
        if step < 0.5 and live:
            appends: list[tuple[Held, list[Event]]] = []
            for held in draw.sample(live, draw.randint(1, len(live))):
                events: list[Event] = [Delta("x" * draw.choice((1, 9, 300))) for _ in range(draw.randint(1, 3))]
                if draw.random() < 0.05:
                    events.append(END)
                    live.remove(held)
                appends.append((held, events))
            disk.append(*appends)
        elif step < 0.7:
            disk.write()
        elif step < 0.88:
            await disk.tell()
        elif step < 0.91:
            await disk.fail()
        elif step < 0.95:
            disk.try_again()
        elif step < 0.97 and kept:
            held = draw.choice(kept)
            kept.remove(held)
            if held in live:
                live.remove(held)
            disk.forget(held)
        elif len(live) < 8:
            live.append(disk.create())
            kept.append(live[-1])
        assert [disk.tail(held) for held in kept] == [held.cursor.offset for held in kept]
    if live:
        disk.append(*((held, [END]) for held in live))
    await disk.settle()
    assert disk.rows == 0
    assert [disk.tail(held) for held in kept] == [held.cursor.offset for held in kept]
