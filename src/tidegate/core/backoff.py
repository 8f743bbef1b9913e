"""When a client that lost its connection tries again.

After a failure it waits 1, 2, 4, then 8 seconds; after the fifth in a row it is offline. An offline client says
so, and keeps trying, slowly: a sign that the network is back (the browser's `online`, a page that becomes visible)
calls for `reset` and a try at once, but not every client gets such signs, and those that do are not always told
the truth.
"""

from __future__ import annotations

from collections.abc import Callable

SCHEDULE = (1.0, 2.0, 4.0, 8.0)

# An offline client costs the server two tries a minute, and a restored one is back within 45 s without any sign.
OFFLINE_DELAY = 30.0

# A server restarts under all of its clients at once; up to half a delay more, at random, spreads them. The jitter is
# added, never subtracted, so that no delay falls below the floor.
JITTER = 0.5

# A server's mistake (seconds for milliseconds) must not silence a client for days.
MAX_FLOOR = 300.0


class Backoff:
    """The delays between tries, in seconds. `random` gives a number from 0 to 1."""

    __slots__ = ("_failures", "_floor", "_random")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self._floor = 0.0

    @property
    def offline(self) -> bool:
        """Whether more tries have failed in a row than the schedule has delays."""
        return self._failures > len(SCHEDULE)

    def failed(self) -> float:
        """Counts a failed try, or a connection that broke; returns how long to wait before the next try."""
        delay = SCHEDULE[self._failures] if self._failures < len(SCHEDULE) else OFFLINE_DELAY
        self._failures += 1
        return max(delay, self._floor) * (1 + JITTER * self._random())

    def at_least(self, retry_ms: int) -> None:
        """Sets the floor the server asked for (`retry:` in an event stream). It holds until the server sets another."""
        self._floor = min(retry_ms / 1000, MAX_FLOOR)

    def reset(self) -> None:
        """Starts the schedule again, after an answer of the server or a sign that the network is back."""
        self._failures = 0
