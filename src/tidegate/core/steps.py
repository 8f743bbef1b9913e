"""Work that is done in small steps, between which the event loop can run other tasks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""A generator that yields after at most some milliseconds of work, and returns the result."""

SLICE = 64 * 1024
"""Bytes per step: 3 ms of work if every byte is a bracket, far less for text."""

PART_BYTES = 256
"""Bytes that each part counts in addition to its own: reading a part takes 10 us."""


def finished(steps: Steps[T]) -> T:
    """The result, with all steps done at once."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def until(is_over: Callable[[], bool], steps: Steps[T]) -> Steps[T | None]:
    """The result; None where `is_over` says before a step that it is not wanted any more."""
    while not is_over():
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        yield
    steps.close()
    return None


def slices(data: bytes, size: int = SLICE) -> Iterator[bytes]:
    """The data in pieces of that size, the last one shorter."""
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def digest(data: bytes) -> Steps[bytes]:
    """The SHA-256 of the data: some 2 ms a megabyte where the processor has no instruction for it."""
    found = sha256()
    for number, piece in enumerate(slices(data, 8 * SLICE)):
        if number:
            yield
        found.update(piece)
    return found.digest()


class Pace:
    """Divides work on many parts into steps."""

    def __init__(self) -> None:
        self._done = 0

    def is_over(self, size: int) -> bool:
        """Whether the step is over, so that a part of `size` bytes belongs to the next one."""
        self._done += size + PART_BYTES
        if self._done <= SLICE:
            return False
        self._done = 0
        return True
