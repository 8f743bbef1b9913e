"""Work that can be done a little at a time, so that whoever does it has turns for others in between. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""It yields where it can wait, after some milliseconds of work at the most, and returns what has come of it."""

SLICE = 64 * 1024
"""Bytes that are looked at in one step: 3 ms where every one of them is a bracket, far less where they are a text."""

PART_BYTES = 256
"""What a part counts for besides its bytes: one is read in 10 us."""


def finished(steps: Steps[T]) -> T:
    """What comes of it, all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def slices(data: bytes, size: int = SLICE) -> Iterator[bytes]:
    """The data in pieces of that size, the last one shorter."""
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def digest(data: bytes) -> Steps[bytes]:
    """The SHA-256: some 2 ms a megabyte where the processor has no instruction for it."""
    found = sha256()
    for number, piece in enumerate(slices(data, 8 * SLICE)):
        if number:
            yield
        found.update(piece)
    return found.digest()


class Pace:
    """Says when whoever goes through many parts has done enough for one step."""

    def __init__(self) -> None:
        self._done = 0

    def is_over(self, size: int) -> bool:
        """Whether a step is over before a part of so many bytes."""
        self._done += size + PART_BYTES
        if self._done <= SLICE:
            return False
        self._done = 0
        return True
