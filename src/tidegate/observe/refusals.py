"""Tells of callers that were refused for a limit, of each once in a while: a flood must not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from tidegate.observe.base import LimitReached, Observer

QUIET_SECONDS = 10.0
"""From one telling to the next of the same account and limit: a log of days has room for it, and an operator sees that
it goes on."""

MOST_KEPT = 1024
"""Accounts of which it is known when they were told of last. Whoever has more addresses is told of more often."""


class Refusals:
    """`clock` is in seconds. What is refused meanwhile is counted, and told with the next one."""

    def __init__(self, observer: Observer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._untold: dict[tuple[str, str], int] = {}

    def tell(self, limit: str, account: str, address: str | None = None) -> None:
        """One more was refused for the setting `limit`."""
        key, now = (limit, account), self._clock()
        count = self._untold.pop(key, 0) + 1
        if now - self._told.get(key, -QUIET_SECONDS) < QUIET_SECONDS:
            self._untold[key] = count
            return
        self._told.pop(key, None)
        self._told[key] = now
        if len(self._told) > MOST_KEPT:
            oldest = next(iter(self._told))
            del self._told[oldest]
            self._untold.pop(oldest, None)
        self._observer.observe(LimitReached(limit, account, address, count))
