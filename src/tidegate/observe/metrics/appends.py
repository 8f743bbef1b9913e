"""When each stream was last appended to here: from then on, its readers at the tail wait."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

MOST_KEPT = 20_000
"""Streams whose last append is remembered: as many as there can be connections."""


class Appends:
    """`clock` is in seconds of any origin."""

    __slots__ = ("_since", "clock")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._since: dict[str, float] = {}

    def begin(self, stream: str, now: float) -> None:
        """An append to the stream begins."""
        self._since[stream] = now
        if len(self._since) > MOST_KEPT:
            del self._since[next(iter(self._since))]

    def age(self, stream: str) -> float | None:
        """Seconds since the stream's last append began; None where another node appends to it."""
        since = self._since.get(stream)
        return None if since is None else self.clock() - since
