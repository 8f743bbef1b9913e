"""Reads from the file, on one thread with its own connection, so that the loop never waits for the disk."""

from __future__ import annotations

import logging
import sqlite3
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import Connection
from typing import Any, TypeVar

from tidegate.core.cursor import Cursor
from tidegate.core.events import Appendable
from tidegate.core.fold import Status
from tidegate.core.kept_log import KeptLog
from tidegate.core.log import NO_LIMIT, Entry, Log, Page, are, epoch_at, knows
from tidegate.core.notices import Gap
from tidegate.core.steps import finished
from tidegate.errors import Fenced, OffsetMismatch, StreamEnded
from tidegate.stores.records import Claim, Claimed, Found, Share, check_body
from tidegate.stores.sqlite.file import unavailable
from tidegate.stores.sqlite.rows import (
    CHARGE,
    COLUMNS,
    LISTED,
    Epochs,
    Row,
    decoded,
    not_found,
    to_epochs,
    to_log,
    to_row,
)

T = TypeVar("T")

WHOLE_BYTES = 1 << 20
"""A log up to this size is read whole, and kept in memory; a longer one is read by the page, anew for each read."""

logger = logging.getLogger("tidegate.stores")


class ReadThread:
    """A thread that owns a connection, and runs one query after the other."""

    def __init__(self, name: str, connection: Connection, loop: AbstractEventLoop) -> None:
        self._name = name
        self._connection = connection
        self._loop = loop
        self._pool = ThreadPoolExecutor(1, "tidegate-sqlite-reader")

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Runs one of the queries below on the file as it is now. Raises `StoreUnavailable` if it cannot be read."""
        return await self._loop.run_in_executor(self._pool, self._answer, question)

    async def close(self) -> None:
        """Runs the queries that wait, then closes the connection."""
        await self._loop.run_in_executor(self._pool, self._connection.close)
        self._pool.shutdown()

    def _answer(self, question: Callable[[Connection], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN")
            try:
                return question(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            logger.error("the store %s cannot be read: %s", self._name, error)
            raise unavailable(error) from None


def row_of(connection: Connection, stream: str) -> Row:
    """The stream without its log. Raises `StreamNotFound`."""
    values = connection.execute(f"SELECT {COLUMNS} FROM streams WHERE id = ?", (stream,)).fetchone()
    if values is None:
        raise not_found(stream)
    return to_row(values)


def log_of(connection: Connection, stream: str) -> tuple[Row, Log | KeptLog | None]:
    """The stream and its log, which is packed where the stream has ended; None for the log of a long one, which is read
    by the page. Raises `StreamNotFound`."""
    row = row_of(connection, stream)
    size = connection.execute("SELECT size FROM streams WHERE key = ?", (row.key,)).fetchone()[0]
    if size is not None and size > WHOLE_BYTES:
        return row, None
    log = _log(connection, row)
    return row, finished(KeptLog.of(log)) if log.ended else log


def page_of(connection: Connection, stream: str, after: Cursor | None, limit: int, max_bytes: int) -> Found:
    """As `Store.read`, for a stream that has ended."""
    key, epochs, tail = position_of(connection, stream)
    beginning = Cursor(epoch_at(epochs, 0), 0)
    at = beginning if after is None else after
    if not knows(epochs, at, first=0, tail=tail):
        return Gap(at, beginning)
    found = window(connection, key, epochs, at.offset, limit=limit, max_bytes=max_bytes)
    return Page(found, found[-1].cursor if found else at, at.offset + len(found) < tail)


def window(
    connection: Connection, key: int, epochs: Epochs, after: int, *, limit: int, max_bytes: int
) -> Sequence[Entry]:
    """At most `limit` entries and `max_bytes` (but at least one entry) after the offset."""
    found: list[Entry] = []
    batches = connection.execute(
        "SELECT last, events FROM batches WHERE stream = ? AND last > ? ORDER BY last", (key, after)
    )
    for last, batch in batches:
        for entry in decoded(batch, epochs, last):
            if entry.offset <= after:
                continue
            max_bytes -= entry.size
            if found and (max_bytes < 0 or len(found) == limit):
                return found
            found.append(entry)
    return found


def position_of(connection: Connection, stream: str) -> tuple[int, Epochs, int]:
    """The key, the epochs and the tail of a stream that has ended. Raises `StreamNotFound`."""
    found = connection.execute(
        "SELECT key, epochs, tail FROM streams WHERE id = ? AND tail IS NOT NULL", (stream,)
    ).fetchone()
    if found is None:
        raise not_found(stream)
    key, epochs, tail = found
    return key, to_epochs(epochs), tail


def repeated(connection: Connection, stream: str, events: Sequence[Appendable], epoch: str, expected: int) -> int:
    """As `Store.append`, for a stream that has ended: an append that it has already can be repeated."""
    key, epochs, tail = position_of(connection, stream)
    if epoch != epochs[-1][0]:
        raise Fenced("another process fills this stream now")
    if expected == tail:
        raise StreamEnded("the stream has ended")
    found = window(connection, key, epochs, expected, limit=max(1, len(events)), max_bytes=NO_LIMIT)
    if not events or not are(found[: len(events)], events):
        raise OffsetMismatch(f"the stream's tail is {tail}, not {expected}", tail=tail)
    return expected + len(events)


def unfinished(connection: Connection) -> Sequence[tuple[Row, Log]]:
    """The streams without an end, oldest first."""
    found = connection.execute(f"SELECT {COLUMNS} FROM streams WHERE ended_at IS NULL ORDER BY key").fetchall()
    return [(row, _log(connection, row)) for row in map(to_row, found)]


def ended_by_owner(connection: Connection) -> Sequence[tuple[str, int]]:
    """The bytes that each owner is charged for ended streams."""
    where = "FROM streams WHERE ended_at IS NOT NULL GROUP BY owner"
    return connection.execute(f"SELECT owner, sum({CHARGE}) {where}").fetchall()


def last_key(connection: Connection) -> int:
    """The key of the newest stream; 0 where there is none."""
    return connection.execute("SELECT coalesce(max(key), 0) FROM streams").fetchone()[0]


def claimed(connection: Connection, claim: Claim) -> Claimed | None:
    """The stream that was made with the claim, if there is one. Raises `IdempotencyMismatch`."""
    found = connection.execute("SELECT id, digest FROM streams WHERE claim = ?", (claim.key,)).fetchone()
    if found is None:
        return None
    stream, digest = found
    check_body(claim, digest)
    return Claimed(stream)


def share_of(connection: Connection, digest: bytes) -> Share | None:
    """The share with this digest, if there is one."""
    found = connection.execute(
        "SELECT id, expires_at FROM shares JOIN streams ON key = stream WHERE shares.digest = ?", (digest,)
    ).fetchone()
    return Share(digest, *found) if found is not None else None


def page(connection: Connection, owner: str | None, status: Status | None, before: str | None, limit: int) -> list[Row]:
    """As `Store.list`."""
    wanted: list[tuple[str, Any]] = []
    if owner is not None:
        wanted.append(("owner = ?", owner))
    if status is not None:
        wanted.append(("status = ?", status))
    if before is not None:
        wanted.append(("key < ?", row_of(connection, before).key))
    where = " AND ".join(condition for condition, _ in wanted) or "true"
    found = connection.execute(
        f"SELECT {LISTED} FROM streams WHERE {where} ORDER BY key DESC LIMIT ?", [*(v for _, v in wanted), limit]
    )
    return [to_row(values) for values in found.fetchall()]


def _log(connection: Connection, row: Row) -> Log:
    found = connection.execute("SELECT last, events FROM batches WHERE stream = ? ORDER BY last", (row.key,))
    return to_log(row, found.fetchall())
