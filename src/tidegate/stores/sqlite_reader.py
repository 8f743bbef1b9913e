"""What is read from the file, on one thread with a connection of its own, so that the loop never waits for a disk."""

from __future__ import annotations

import logging
import sqlite3
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import Connection
from typing import Any, TypeVar

from tidegate.core.fold import Status
from tidegate.core.log import Log
from tidegate.stores.base import Claim, Claimed, Share, check_body
from tidegate.stores.sqlite_file import unavailable
from tidegate.stores.sqlite_rows import COLUMNS, Row, not_found, to_log, to_row

T = TypeVar("T")

logger = logging.getLogger("tidegate.stores")


class ReadThread:
    """Owns a connection, and asks it one question after the other."""

    def __init__(self, name: str, connection: Connection, loop: AbstractEventLoop) -> None:
        self._name = name
        self._connection = connection
        self._loop = loop
        self._pool = ThreadPoolExecutor(1, "tidegate-sqlite-reader")

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Asks one of the questions below, of the file as it is now. Raises `StoreUnavailable` if it cannot be read."""
        return await self._loop.run_in_executor(self._pool, self._answer, question)

    async def close(self) -> None:
        """Answers what was asked, then closes the connection."""
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


def log_of(connection: Connection, stream: str) -> tuple[Row, Log]:
    """The stream with its log. Raises `StreamNotFound`."""
    row = row_of(connection, stream)
    return row, _log(connection, row)


def unfinished(connection: Connection) -> Sequence[tuple[Row, Log]]:
    """The streams without an end, oldest first."""
    found = connection.execute(f"SELECT {COLUMNS} FROM streams WHERE ended_at IS NULL ORDER BY key").fetchall()
    return [(row, _log(connection, row)) for row in map(to_row, found)]


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
        f"SELECT {COLUMNS} FROM streams WHERE {where} ORDER BY key DESC LIMIT ?", [*(v for _, v in wanted), limit]
    )
    return [to_row(values) for values in found.fetchall()]


def _log(connection: Connection, row: Row) -> Log:
    found = connection.execute("SELECT last, events FROM batches WHERE stream = ? ORDER BY last", (row.key,))
    return to_log(row, found.fetchall())
