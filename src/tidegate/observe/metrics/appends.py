"""Since when the readers at a stream's tail wait: since what was appended to it here was handed to the store."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

MOST_KEPT = 20_000
"""Streams whose last append is remembered: as many as there can be connections."""

WRITTEN_SECONDS = 0.02
"""How long after the store has answered what is written is still taken for that append's: readers are woken in the same
turn of the loop or in the next one. What comes later may be another node's."""


class _Waiting:
    """When the appends to one stream began that the store has not answered yet, and the last one that it has."""

    __slots__ = ("answered", "begun", "last")

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.last = 0.0
        self.answered = 0.0


class Appends:
    """`clock` is in seconds of any origin. A store answers the appends to a stream in their order."""

    __slots__ = ("_waiting", "clock")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._waiting: dict[str, _Waiting] = {}

    def begin(self, stream: str, now: float) -> None:
        """An append to the stream begins."""
        waiting = self._waiting.get(stream)
        if waiting is None:
            waiting = self._waiting[stream] = _Waiting()
            if len(self._waiting) > MOST_KEPT:
                del self._waiting[next(iter(self._waiting))]
        waiting.begun.append(now)

    def answer(self, stream: str, now: float) -> None:
        """The first append to the stream that has no answer yet has one, or was refused."""
        waiting = self._waiting.get(stream)
        if waiting is not None and waiting.begun:
            waiting.last, waiting.answered = waiting.begun.pop(0), now

    def age(self, stream: str) -> float | None:
        """Seconds since that began which is written now; None where it is no append of this node's."""
        waiting = self._waiting.get(stream)
        if waiting is None:
            return None
        now = self.clock()
        if waiting.begun:
            return now - waiting.begun[0]
        return now - waiting.last if now - waiting.answered < WRITTEN_SECONDS else None
