"""Reports callers that were refused by a limit, each only once in a while: a flood must not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from tidegate.observe.base import CallRefused, LimitReached, Observer

QUIET_SECONDS = 10.0
"""From one report to the next for the same account and limit: rare enough for a log of days, and often enough for an
operator to see that refusals continue."""

MOST_KEPT = 1024
"""How many accounts and limits are remembered with their last report. Past that, reports come more often."""


class Refusals:
    """`clock` is in seconds. Refusals between two reports are counted, and reported with the next one."""

    def __init__(self, observer: Observer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._untold: dict[tuple[str, str], int] = {}

    def count(self, code: str) -> None:
        """Counts a call that was refused with this error code, and has no other report."""
        self._observer.observe(CallRefused(code))

    def tell(self, limit: str, account: str, address: str | None = None) -> None:
        """Counts one more refusal by the setting `limit`, and reports it if one is due."""
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
