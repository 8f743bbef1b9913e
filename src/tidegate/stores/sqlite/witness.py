"""Checks that the file being written is still the one that its path leads to."""

from __future__ import annotations

import os
from pathlib import Path

from tidegate.stores.sqlite.file import WAL_BYTES

MAGIC = b"SQLite format 3\0"
"""The first bytes of a database (https://sqlite.org/fileformat.html, 1.3); the page size and the number of pages follow
at 16 and 28."""

HEADER_BYTES = 32

WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""The first bytes of a write-ahead log that is not empty (the same page, 4.1)."""

FILES = ("", "-wal", "-shm")
"""The suffixes of the files that SQLite keeps open: writes to a deleted one succeed, but nobody can read them again."""


class Witness:
    """Knows the files by their inodes. A check costs some microseconds; any thread may check, one at a time.

    It is made once SQLite has opened all files, and closed after SQLite: closing a descriptor of a database would free
    its locks (https://sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError` where a file is missing."""
        self._paths = [f"{path}{suffix}" for suffix in FILES]
        self._known = [_identity(os.stat(each)) for each in self._paths]
        self._database = os.open(self._paths[0], os.O_RDONLY | os.O_CLOEXEC)
        self._log = os.open(self._paths[1], os.O_RDONLY | os.O_CLOEXEC)
        self._logged = 0

    def fault(self) -> str | None:
        """What is wrong with the files; None if nothing is."""
        for path, known in zip(self._paths, self._known, strict=True):
            try:
                if _identity(os.stat(path)) != known:
                    return f"{path} was replaced by another file"
            except OSError as error:
                return f"{path} is gone ({error.strerror})"
        return self._cut()

    def wrote(self) -> None:
        """Notes the length of the write-ahead log after a commit."""
        self._logged = os.fstat(self._log).st_size

    def close(self) -> None:
        """Closes the descriptors. May be called once."""
        os.close(self._database)
        os.close(self._log)

    def _cut(self) -> str | None:
        size, header = os.fstat(self._database).st_size, os.pread(self._database, HEADER_BYTES, 0)
        if not header.startswith(MAGIC) or size < _pages(header) * _page_size(header):
            return f"{self._paths[0]} was cut off, or overwritten"
        logged = os.fstat(self._log).st_size
        # SQLite itself truncates its log to this size, and never below it.
        if logged < min(self._logged, WAL_BYTES) or (logged and os.pread(self._log, 4, 0) not in WAL_MAGIC):
            return f"{self._paths[1]} was cut off, or overwritten"
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size


def _pages(header: bytes) -> int:
    return int.from_bytes(header[28:32], "big")
