"""Streams that have ended on this node a moment ago. Where Redis has lost the end, only this node can give it back: its
own right to the stream may be all that is left of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from tidegate.stores.redis.link.shards import Shards

RECENT_SECONDS = 10.0
"""How long after its end a stream is remembered: several times what a failover takes, during which a master that has
been replaced may still acknowledge what the other one never has."""

MOST = 1000
"""How many of them: with their windows 64 MB at the most, and usually a tenth."""

T = TypeVar("T")


class _End(msgspec.Struct, Generic[T], frozen=True):
    """`run` is the start of the server that has acknowledged it, `at` when it did."""

    at: float
    key: str
    run: str
    what: T


class RecentEnds(Generic[T]):
    """What is needed to write each end once more, oldest first. `now` is in seconds."""

    def __init__(self, shards: Shards, now: Callable[[], float]) -> None:
        self._shards = shards
        self._now = now
        self._ends: deque[_End[T]] = deque(maxlen=MOST)

    def add(self, key: str, what: T) -> None:
        """Notes an end, by the key that the server of the stream has."""
        self._drop_old()
        self._ends.append(_End(self._now(), key, self._shards.run_of(key), what))

    def doubtful(self) -> Iterator[T]:
        """Yields, and forgets, those that another server has acknowledged than the one that is there now."""
        self._drop_old()
        ends, self._ends = self._ends, deque(maxlen=MOST)
        for end in ends:
            if end.run == self._shards.run_of(end.key):
                self._ends.append(end)
            else:
                yield end.what

    def clear(self) -> None:
        self._ends.clear()

    def _drop_old(self) -> None:
        while self._ends and self._ends[0].at < self._now() - RECENT_SECONDS:
            self._ends.popleft()
