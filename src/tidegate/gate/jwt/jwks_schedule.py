"""When the keys of an issuer are fetched, and how long they are good for. Times are seconds of one clock."""

from __future__ import annotations

import math

FRESH_SECONDS = 300.0
"""A key that its issuer has withdrawn is trusted for that long. Providers ask for five minutes to a day."""

KEEP_SECONDS = 24 * 3600.0
"""An issuer that is down for a night must not lock everybody out, but a key that it may have withdrawn since is not
trusted for days."""

UNKNOWN_SECONDS = 5.0
"""From one fetch to the next one for a key that is not known: anybody can make up names of keys, and the issuer must
not feel it. It is also the longest that the first token of a new key has to wait for."""

MAX_BACKOFF = 60.0


class Schedule:
    """Fed with what happens, it says what may be done."""

    __slots__ = ("_began", "_failures", "_got", "_retry")

    def __init__(self) -> None:
        self._began = -math.inf
        self._got = -math.inf
        self._retry = -math.inf
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many fetches have failed in a row."""
        return self._failures

    def begin(self, now: float) -> None:
        """A fetch begins."""
        self._began = now

    def succeed(self, now: float) -> None:
        """It has brought keys."""
        self._got = now
        self._failures = 0
        self._retry = -math.inf

    def fail(self, now: float) -> None:
        """It has not: the next one is 1, 2, 4 … 60 s away."""
        self._retry = now + min(2.0**self._failures, MAX_BACKOFF)
        # Beyond a thousand, a float could not hold the power any more.
        self._failures = min(self._failures + 1, 1000)

    def is_due(self, now: float) -> bool:
        """Whether keys should be fetched although nobody misses any."""
        return now >= max(self._got + FRESH_SECONDS, self._retry)

    def is_usable(self, now: float) -> bool:
        """Whether the keys that there are may still be used."""
        return now < self._got + KEEP_SECONDS

    def wait(self, now: float) -> float:
        """Seconds until keys may be fetched for somebody who misses one."""
        # Without usable keys every key is unknown, and failures alone set the pace.
        allowed = self._began + UNKNOWN_SECONDS if self.is_usable(now) else now
        return max(0.0, allowed - now, self._retry - now)
