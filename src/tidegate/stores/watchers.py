"""Wakes the watchers of a stream, or of a count."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from tidegate.stores.cluster import Count

logger = logging.getLogger("tidegate.stores")


def wake_all(stream: str, watchers: Mapping[object, Callable[[], None]]) -> None:
    """Calls each watcher. One that raises, which none should, does not keep the others from being called."""
    for watcher in tuple(watchers.values()):
        try:
            watcher()
        except Exception:
            logger.exception("a reader of stream %s could not be woken", stream)


class CountWatchers:
    """Who is woken when a count changes; see `Cluster.watch`."""

    def __init__(self) -> None:
        self._tables: dict[Count, dict[str, tuple[Callable[[], None], ...]]] = {}

    def __len__(self) -> int:
        """How many counts are watched."""
        return sum(map(len, self._tables.values()))

    def add(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        table = self._tables.setdefault(what, {})
        table[key] = (*table.get(key, ()), wake)

    def remove(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        """Undoes `add`. Harmless where `wake` was not added."""
        table = self._tables.get(what, {})
        # Bound methods of one object are equal, but not identical.
        left = list(table.pop(key, ()))
        if wake in left:
            left.remove(wake)
        if left:
            table[key] = tuple(left)

    def changed(self, what: Count, key: str) -> None:
        """Wakes those of one count."""
        if watchers := self._tables.get(what, {}).get(key):
            wake_all(f"the count of {what}", dict(enumerate(watchers)))
