"""The one thread that writes: takes what the loop has gathered, commits it together, and tells the loop once.

What a turn of the loop brings is handed over once, when the turn ends; while a group is being committed, the next one
is gathered. Writes are checked before they are queued; the thread only writes.
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
from typing import Any, Protocol

from tidegate.errors import TidegateError
from tidegate.stores.sqlite import journal
from tidegate.stores.sqlite.file import unavailable
from tidegate.stores.sqlite.published import PublishedRow, insert
from tidegate.stores.sqlite.witness import Witness

logger = logging.getLogger("tidegate.stores")

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


class Write(Protocol):
    """One write, and what follows on the loop's thread.

    `append` goes to the journal, `published` is an event of a topic; `change` is anything else, and may raise a
    `TidegateError` before it has changed anything. After the commit, `apply` is given what `change` returned, and
    returns the result of the future `answer`. Where nothing was written, `error` says why.
    """

    answer: Future[Any]
    line: Line
    append: bytes | None
    published: PublishedRow | None
    change: Callable[[Connection], Any] | None
    result: Any
    error: Exception | None

    def apply(self, result: Any, /) -> Any: ...


class Change:
    """A write of anything; what follows is given as a function."""

    __slots__ = ("_apply", "answer", "append", "change", "error", "line", "published", "result")

    def __init__(
        self,
        answer: Future[Any],
        line: Line,
        *,
        append: bytes | None = None,
        published: PublishedRow | None = None,
        change: Callable[[Connection], Any] | None = None,
        apply: Callable[[Any], Any] = bool,
    ) -> None:
        self.answer = answer
        self.line = line
        self.append = append
        self.published = published
        self.change = change
        self._apply = apply
        self.result: Any = None
        self.error: Exception | None = None

    def apply(self, result: Any, /) -> Any:
        return self._apply(result)


class Group:
    """Writes that are committed together. Their appends are in the `size` bytes of the journal's rows from `first` to
    before `next`: in one row, or in several where each write was tried by itself."""

    __slots__ = ("first", "gathered", "next", "size", "writes")

    def __init__(self, writes: Sequence[Write], *, gathered: bool) -> None:
        self.writes = writes
        self.gathered = gathered
        self.first = self.next = self.size = 0


class Writer:
    """The thread, which owns a connection, and what the loop has gathered for it. `committed` is called on the loop's
    thread with each group, in order."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        loop: AbstractEventLoop,
        committed: Callable[[Group], None],
        witness: Witness,
        looks: Looks,
    ) -> None:
        self.fault: str | None = None
        self._name = name
        self._witness = witness
        self._looks = looks
        self._failing = False
        self._told: set[str] = set()
        self._looked = self._noted = 0.0
        self._connection = connection
        self._loop = loop
        self._committed = committed
        self._waiting: list[Write] = []
        self._is_idle = True
        self._row = 1
        self._size = 0
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="tidegate-sqlite-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, write: Write) -> None:
        """Queues a write; belongs on the loop's thread."""
        self._waiting.append(write)
        if self._is_idle:
            self._is_idle = False
            self._loop.call_soon(self._hand_over)

    def put_alone(self, write: Write) -> None:
        """Queues a compaction for a transaction of its own: the group before it is answered first, and the next one
        waits for it. Belongs on the loop's thread."""
        self._queue.put(Group([write], gathered=False))

    def stop(self) -> None:
        """Hands over what waits, and tells the thread to end then; belongs on the loop's thread, and comes last."""
        self._hand_over()
        self._queue.put(None)

    def join(self) -> None:
        """Waits until everything is committed and the connection is closed. Blocks."""
        self._thread.join()

    def _hand_over(self) -> None:
        if self._waiting:
            group, self._waiting = Group(self._waiting, gathered=True), []
            self._queue.put(group)

    def _done(self, group: Group) -> None:
        # The next group is written while what follows from this one is done.
        if group.gathered:
            self._is_idle = not self._waiting
            self._hand_over()
        self._committed(group)

    # All that follows belongs to the thread.

    def _run(self) -> None:
        while (group := self._first()) is not None:
            group.first, self._size = self._row, 0
            self._write(group.writes, gathered=group.gathered)
            group.next, group.size = self._row, self._size
            if self._noted != self._looked and self.fault is None:
                self._witness.wrote()
                self._noted = self._looked
            with suppress(RuntimeError):  # the loop was closed before the store
                self._loop.call_soon_threadsafe(self._done, group)
            # What is kept here until the next group comes would be freed by this thread.
            del group
        self._connection.close()

    def _first(self) -> Group | None:
        """Waits for the next group, and checks the file meanwhile."""
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

    def _write(self, group: Sequence[Write], *, gathered: bool) -> None:
        whole = _sound(group)
        try:
            wrote = self._transact(whole)
        except Exception as error:
            if len(whole) > 1 and not _is_busy(error) and not isinstance(error, Vanished):
                # Each write is tried by itself, so that one that cannot be written does not stop the others.
                for write in whole:
                    self._write((write,), gathered=gathered)
                return
            for write in whole:
                write.error = unavailable(error) if isinstance(error, sqlite3.Error) else error
                write.line.broken = True
            if gathered:
                self._tell(error)
            else:
                self._tell_of_compaction(error)
        else:
            if wrote and gathered:
                self._tell(None)

    def _tell(self, error: Exception | None) -> None:
        """Logs once when writing begins to fail, and once when it works again."""
        if error is not None and not self._failing:
            logger.error("the store %s cannot be written: %s", self._name, error)
        elif error is None and self._failing:
            logger.warning("the store %s can be written again", self._name)
        self._failing = error is not None

    def _tell_of_compaction(self, error: Exception) -> None:
        """Logs each reason once: compactions are tried again every second, and others may succeed in between."""
        if (reason := str(error)) not in self._told:
            self._told.add(reason)
            logger.error("the store %s cannot be compacted, which is tried again: %s", self._name, reason)

    def _transact(self, group: Sequence[Write]) -> bool:
        """Commits the writes together, and says whether anything was written."""
        before = self._connection.total_changes
        self._commit(group)
        return self._connection.total_changes > before

    def _commit(self, group: Sequence[Write]) -> None:
        appends = [write.append for write in group if write.append is not None]
        others = [write for write in group if write.published is not None or write.change is not None]
        if not others:
            # One statement is a transaction by itself: the interpreter is waited for once.
            if appends:
                self._check()
                self._journal(appends)
            return
        connection = self._connection
        row, size = self._row, self._size
        try:
            connection.execute("BEGIN IMMEDIATE")
            if appends:
                self._journal(appends)
            published: list[PublishedRow] = []
            for write in others:
                if write.published is not None:
                    published.append(write.published)
                if write.change is not None:
                    insert(connection, published)
                    self._change(write, write.change)
            insert(connection, published)
            self._check()
            connection.execute("COMMIT")
        except BaseException:
            self._row, self._size = row, size
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _journal(self, appends: Sequence[bytes]) -> None:
        self._size += journal.insert(self._connection, self._row, appends)
        self._row += 1

    def _change(self, write: Write, change: Callable[[Connection], Any]) -> None:
        try:
            write.result, write.error = change(self._connection), None
        except TidegateError as error:
            write.error = error


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
