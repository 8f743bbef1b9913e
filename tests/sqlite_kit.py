"""A store's file in the hands of others."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held_up(path: Path) -> Generator[None]:
    """While somebody else writes to the file, the store cannot."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def full_disk(path: Path, *, room: int = 0) -> Generator[None]:
    """No file of this process can grow by more than so many bytes past what the store's files are now."""
    largest = room + max(file.stat().st_size for file in path.parent.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
