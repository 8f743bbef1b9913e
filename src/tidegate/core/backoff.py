"""When a client that lost its connection tries again.

After a failure it waits 1, 2, 4, then 8 seconds; after the fifth in a row it is offline, and there is no next try
until something wakes it: a sign that the network is back, or its user. `conformance/backoff.json` says it in vectors.
"""

from __future__ import annotations

from collections.abc import Callable

ATTEMPTS = 4
"""How many tries after a break may fail in a row: with 8 seconds at the most between them, a restart is waited for."""

MAX_DELAY = 8.0

# A server restarts under all of its clients at once; up to half a delay more, at random, spreads them. The jitter is
# added, never subtracted, so that no delay falls below the floor.
JITTER = 0.5

# A server's mistake (seconds for milliseconds) must not silence a client for days.
MAX_FLOOR = 300.0


class Backoff:
    """The delays between tries, in seconds. `random` gives a number from 0 to 1.

    `attempts` tries after a break may fail in a row; None is without end. `max_delay` caps what the server did not ask
    for.
    """

    __slots__ = ("_attempts", "_failures", "_floor", "_max_delay", "_random")

    def __init__(
        self, random: Callable[[], float], *, attempts: int | None = ATTEMPTS, max_delay: float = MAX_DELAY
    ) -> None:
        self._random = random
        self._attempts = attempts
        self._max_delay = max_delay
        self._failures = 0
        self._floor = 0.0

    @property
    def offline(self) -> bool:
        """Whether more tries have failed in a row than may."""
        return self._attempts is not None and self._failures > self._attempts

    def failed(self, asked: float = 0.0) -> float | None:
        """Counts a failed try, or a connection that broke; returns how long to wait, or None when offline.

        `asked`: what the server asked for with this failure.
        """
        # A power of two that no wait reaches, however long the server is away.
        delay = min(2.0 ** min(self._failures, 30), self._max_delay)
        self._failures += 1
        if self.offline:
            return None
        return max(delay, self._floor, min(asked, MAX_FLOOR)) * (1 + JITTER * self._random())

    def at_least(self, retry_ms: int) -> None:
        """Sets the floor the server asked for (`retry:` in an event stream). It holds until the server sets another."""
        self._floor = min(retry_ms / 1000, MAX_FLOOR)

    def reset(self) -> None:
        """Starts the schedule again, after an answer of the server or a sign that the network is back."""
        self._failures = 0
