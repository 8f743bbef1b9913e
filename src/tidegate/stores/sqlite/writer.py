"""The one thread that writes: takes all waiting writes, commits them together, and tells the loop once.

Writes are checked before they are queued; the thread only writes.
"""

from __future__ import annotations

import logging
import sqlite3
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from sqlite3 import Connection
from threading import Thread
from time import monotonic, sleep
from typing import Any

from tidegate.errors import TidegateError
from tidegate.stores.sqlite.file import unavailable
from tidegate.stores.sqlite.published import PublishedRow, insert
from tidegate.stores.sqlite.witness import Witness

ROWS = (256, 64, 16, 4, 1)
"""Batches per statement: each statement costs the thread its turn at the interpreter, so there should be few."""

_INSERT = {
    count: "INSERT INTO batches (stream, last, events) VALUES " + ",".join(["(?,?,?)"] * count) for count in ROWS
}

logger = logging.getLogger("tidegate.stores")

Row = tuple[int, int, bytes]


AGAIN_SECONDS = 0.05
"""The time before the second check, after which a file is taken for lost."""


@dataclass(frozen=True)
class Looks:
    """How often the writer checks that the file is still there."""

    idle_seconds: float = 2.0
    """The time between two checks while nothing is written."""

    fresh_seconds: float = 0.05
    """How old a check may be when a write is acknowledged: a check takes as long as a small commit, 20 us."""


LOOKS = Looks()


class Vanished(sqlite3.OperationalError):
    """The path no longer leads to the open file: nobody could ever read what is written now."""


class Broken(Exception):
    """Why a write fails that follows a failed write of the same stream: it would leave a hole in the log."""


class Line:
    """The writes queued for one stream. Once one of them has failed, those behind it fail, too."""

    def __init__(self) -> None:
        self.broken = False


class Write:
    """One write, and what follows on the loop's thread.

    `row` is a batch, `published` an event of a topic; `change` is anything else, and may raise a `TidegateError` before
    it has changed anything. After the commit, `apply` is given what `change` returned, and returns the result of the
    future `answer`.
    """

    __slots__ = ("answer", "apply", "change", "error", "line", "published", "result", "row")

    def __init__(
        self,
        answer: Future[Any],
        line: Line,
        *,
        row: Row | None = None,
        published: PublishedRow | None = None,
        change: Callable[[Connection], Any] | None = None,
        apply: Callable[[Any], Any] = bool,
    ) -> None:
        self.answer = answer
        self.line = line
        self.row = row
        self.published = published
        self.change = change
        self.apply = apply
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """The thread, which owns a connection. `committed` is called on the loop's thread with each group, in order."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        loop: AbstractEventLoop,
        committed: Callable[[Sequence[Write]], None],
        witness: Witness,
        looks: Looks,
    ) -> None:
        self.fault: str | None = None
        self._name = name
        self._witness = witness
        self._looks = looks
        self._failing = False
        self._looked = 0.0
        self._connection = connection
        self._loop = loop
        self._committed = committed
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="tidegate-sqlite-writer", daemon=True)
        self.put = self._queue.put

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commits the queued writes and closes the connection. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            group, running = self._group()
            if group:
                self._write(group)
                with suppress(RuntimeError):  # the loop was closed before the store
                    self._loop.call_soon_threadsafe(self._committed, group)
        self._connection.close()

    def _first(self) -> Write | None:
        """Waits for the next write, and checks the file meanwhile."""
        while True:
            try:
                return self._queue.get(timeout=self._looks.idle_seconds)
            except Empty:
                self._look()

    def _check(self) -> None:
        """Raises `Vanished` where the file is lost."""
        if monotonic() >= self._looked + self._looks.fresh_seconds:
            self._look()
        if self.fault is not None:
            raise Vanished(self.fault)

    def _look(self) -> None:
        before, self.fault = self.fault, self._witness.fault()
        if self.fault is not None and before is None:
            # Another program that writes the log back, e.g. a backup, makes the file look truncated for a moment.
            sleep(AGAIN_SECONDS)
            self.fault = self._witness.fault()
        self._looked = monotonic()
        if self.fault is not None and before is None:
            logger.error("the store %s is lost: %s; put it back, or restart", self._name, self.fault)
        elif self.fault is None and before is not None:
            logger.warning("the store %s is back", self._name)

    def _group(self) -> tuple[list[Write], bool]:
        group: list[Write] = []
        write = self._first()
        while write is not None:
            group.append(write)
            try:
                write = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _write(self, group: Sequence[Write]) -> None:
        whole = _sound(group)
        try:
            self._transact(whole)
        except Exception as error:
            if len(whole) > 1 and not _is_busy(error) and not isinstance(error, Vanished):
                # Each write is tried by itself, so that one that cannot be written does not stop the others.
                for write in whole:
                    self._write((write,))
                return
            for write in whole:
                write.error = unavailable(error) if isinstance(error, sqlite3.Error) else error
                write.line.broken = True
            self._tell(error)
        else:
            self._tell(None)

    def _tell(self, error: Exception | None) -> None:
        """Logs once when writing begins to fail, and once when it works again."""
        if error is not None and not self._failing:
            logger.error("the store %s cannot be written: %s", self._name, error)
        elif error is None and self._failing:
            logger.warning("the store %s can be written again", self._name)
        self._failing = error is not None

    def _transact(self, group: Sequence[Write]) -> None:
        connection = self._connection
        if not any(write.row or write.published or write.change for write in group):
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            rows: list[Row] = []
            published: list[PublishedRow] = []
            for write in group:
                if write.row is not None:
                    rows.append(write.row)
                if write.published is not None:
                    published.append(write.published)
                if write.change is not None:
                    self._insert(rows)
                    insert(connection, published)
                    self._change(write, write.change)
            self._insert(rows)
            insert(connection, published)
            self._check()
            connection.execute("COMMIT")
            self._witness.wrote()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _change(self, write: Write, change: Callable[[Connection], Any]) -> None:
        try:
            write.result, write.error = change(self._connection), None
        except TidegateError as error:
            write.error = error

    def _insert(self, rows: list[Row]) -> None:
        at = 0
        for count, statement in _INSERT.items():
            while len(rows) - at >= count:
                values = [value for row in rows[at : at + count] for value in row]
                self._connection.execute(statement, values)
                at += count
        rows.clear()


def _is_busy(error: Exception) -> bool:
    """Whether another program has locked the file for longer than `BUSY_SECONDS`."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _sound(group: Sequence[Write]) -> list[Write]:
    """The writes that may be written; the others are given their error."""
    sound = [write for write in group if not write.line.broken]
    if len(sound) < len(group):
        for write in group:
            if write.line.broken:
                write.error = unavailable(Broken())
    return sound
