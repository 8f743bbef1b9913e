"""Locates, locks, checks and creates the database file. Everything here blocks, and belongs off the loop's thread."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from shlex import quote
from sqlite3 import Connection
from typing import Literal

from tidegate.errors import ConfigError, InUse, StoreUnavailable
from tidegate.stores.sqlite import journal, schema

logger = logging.getLogger("tidegate.stores")

Synchronous = Literal["normal", "full"]

CHECKED_BYTES = 64 << 20
"""A file up to this size is checked page by page when it is opened, which takes a tenth of a second."""

WAL_BYTES = 16 << 20
"""The size that SQLite's write-ahead log may keep on disk once it has been written back."""

BUSY_SECONDS = 5.0
"""How long another program, e.g. SQLite's own shell, may lock the file before a call fails."""

PAGE_BYTES = 1024
"""A commit rewrites the journal's last page: with 4 KB pages 2.4 times as much is written, in the same time. Ended logs
fill small pages better, too."""

CHECKPOINT_PAGES = 4000
"""SQLite's log is written back when it has grown by so many pages, 4 MB: twice a second at 10,000 appends a second."""


class DatabaseFile:
    """One file, locked by one process from `open` to `close`."""

    def __init__(self, path: Path, *, synchronous: Synchronous, create_parents: bool) -> None:
        self.path = path
        self._synchronous = synchronous
        self._create_parents = create_parents
        self._lock: int | None = None

    def open(self) -> None:
        """Locks the file, and creates it if there is none.

        Raises `ConfigError` if the file cannot be used, `InUse` if another process has it.
        """
        try:
            if self.path.is_dir():
                raise IsADirectoryError
            if self._create_parents:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._locked()
            # No other user of the machine may read what was asked and answered.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(self.connect()) as connection:
                self._prepare(connection)
        except OSError as error:
            self.close()
            raise self._unwritable(error) from None
        except sqlite3.Error as error:
            self.close()
            raise unusable(self.path, error) from None
        except BaseException:
            self.close()
            raise

    def connect(self) -> Connection:
        """Opens a connection, which one thread at a time may use."""
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS, cached_statements=64
        )
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return connection

    def close(self) -> None:
        """Unlocks the file. May be called more than once."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self) -> int:
        # The lock has a file of its own: a lock on the database would be lost with the first connection that is closed.
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 20).decode().strip() or "unknown"
            os.close(lock)
            raise InUse(
                f"the store {self.path} is in use by process {pid}: stop that, or {_ANOTHER}", key=_KEY
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        return lock

    def _prepare(self, connection: Connection) -> None:
        version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
        empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if empty:
            _make(connection)
            return
        if application != schema.APPLICATION:
            raise ConfigError(f"{self.path} is a database of another program: {_ANOTHER}", key=_KEY)
        if version != schema.VERSION and version not in schema.STEPS:
            raise ConfigError(
                f"the store {self.path} was written by another version of tidegate (its format is {version}, "
                f"this one writes {schema.VERSION}): use that version, or {_ANOTHER}",
                key=_KEY,
            )
        if self.path.stat().st_size <= CHECKED_BYTES:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        _set_up(connection, ["journal_mode = WAL"])
        if version != schema.VERSION:
            schema.take_over(connection, version)
            logger.warning(
                "the store %s had format %d and has format %d now: earlier versions of tidegate refuse it now",
                self.path,
                version,
                schema.VERSION,
            )
        journal.compact(connection)

    def _unwritable(self, error: OSError) -> ConfigError:
        if isinstance(error, FileNotFoundError):
            folder = self.path.parent
            missing = f"there is no directory {folder} for the store: make it (mkdir -p {quote(str(folder))})"
            return ConfigError(f"{missing}, or {_ANOTHER}", key=_KEY)
        if isinstance(error, IsADirectoryError):
            return ConfigError(f"{self.path} is a directory: name a file in it", key=_KEY)
        return ConfigError(f"the store {self.path} cannot be written ({error.strerror}): {_REMEDY}", key=_KEY)


_KEY = ("store", "url")
_ANOTHER = "name another file as store.url, or by --store sqlite:////PATH"
_REMEDY = f"make its directory writable, or {_ANOTHER}"


def unusable(path: Path, error: sqlite3.Error) -> ConfigError:
    """The error for a file that could not be opened: it says what the operator has to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return ConfigError(f"the store {path} cannot be written ({error}): {_REMEDY}", key=_KEY)
    if code == sqlite3.SQLITE_FULL:
        return ConfigError(f"the store {path} is full ({error}): make room on its disk; nothing is damaged", key=_KEY)
    if code == sqlite3.SQLITE_IOERR:
        return ConfigError(
            f"the disk of the store {path} could not be read or written ({error}): make room on it, or see whether it "
            "is failing; the file is not known to be damaged",
            key=_KEY,
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ConfigError(
            f"the store {path} is locked by another program ({error}): wait for it, or end it; nothing is damaged",
            key=_KEY,
        )
    return damaged(path, str(error))


def damaged(path: Path, found: str) -> ConfigError:
    """The error for a file that is no SQLite database, or damaged."""
    return ConfigError(
        f"{path} is no SQLite database, or damaged ({found}): restore it from a backup, move it away, or {_ANOTHER}",
        key=_KEY,
    )


def unavailable(error: BaseException) -> StoreUnavailable:
    """The error that a caller gets for a failed read or write; only the operator's log names the file."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailable("the store is full: its operator has to make room on its disk")
    return StoreUnavailable("the store could not be read or written: its operator finds the reason in the log")


def _pragma(connection: Connection, name: str) -> int:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _set_up(connection: Connection, pragmas: Iterable[str]) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _make(connection: Connection) -> None:
    # The first two pragmas can only be set while the file is empty.
    _set_up(connection, [f"page_size = {PAGE_BYTES}", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"])
    schema.make(connection)
