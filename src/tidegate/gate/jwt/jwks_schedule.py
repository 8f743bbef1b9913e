"""When to fetch the keys of an issuer, and how long to use them. Times are seconds of one clock."""

from __future__ import annotations

import math

FRESH_SECONDS = 300.0
"""A key that its issuer has withdrawn is trusted for so long. Providers ask for five minutes to a day."""

KEEP_SECONDS = 24 * 3600.0
"""An issuer that is down for a night must not lock everybody out. But it may have withdrawn a key meanwhile, so that
keys are not trusted for days."""

UNKNOWN_SECONDS = 5.0
"""From one fetch to the next one for an unknown key: anybody can make up names of keys, and the issuer must not feel
that. It is also the longest that the first token of a new key has to wait."""

MAX_BACKOFF = 60.0


class Schedule:
    """Decides when to fetch: it is told of each fetch and its outcome."""

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
        """The fetch has brought keys."""
        self._got = now
        self._failures = 0
        self._retry = -math.inf

    def fail(self, now: float) -> None:
        """The fetch has failed: the next one is 1, 2, 4 … 60 s away."""
        self._retry = now + min(2.0**self._failures, MAX_BACKOFF)
        # Beyond a thousand, a float could not hold the power any more.
        self._failures = min(self._failures + 1, 1000)

    def is_due(self, now: float) -> bool:
        """Whether keys should be fetched although no request waits for one."""
        return now >= max(self._got + FRESH_SECONDS, self._retry)

    def is_usable(self, now: float) -> bool:
        """Whether the keys fetched last may still be used."""
        return now < self._got + KEEP_SECONDS

    def wait(self, now: float) -> float:
        """Seconds until keys may be fetched for a request that names an unknown one."""
        # Without usable keys every key is unknown, and failures alone set the pace.
        allowed = self._began + UNKNOWN_SECONDS if self.is_usable(now) else now
        return max(0.0, allowed - now, self._retry - now)
