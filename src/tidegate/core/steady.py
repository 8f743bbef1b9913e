"""A clock that follows Unix time without jumps, so that a wrong system clock does not turn a day's retention into a
minute."""

from __future__ import annotations

from collections.abc import Callable

TOLERATED_SECONDS = 2.0
"""A difference up to this is followed at once: clocks are adjusted by so much all the time."""

SLEW = 1 / 8
"""After a jump the clock runs faster or slower by this fraction, until it is right again."""

PLAUSIBLE = 1735689600.0
"""The beginning of 2025: a clock before it has not been set yet, and is followed at once when it is set."""


class SteadyClock:
    """A clock. `wall` is in Unix seconds; `elapsed` in seconds of any origin, and runs while the machine sleeps."""

    def __init__(self, wall: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._at = wall()
        self._since = elapsed()

    def __call__(self) -> float:
        """The time in Unix seconds."""
        since = self._elapsed()
        passed = since - self._since
        self._at, self._since = _corrected(self._at + passed, self._wall(), passed), since
        return self._at


def _corrected(expected: float, wall: float, passed: float) -> float:
    ahead = wall - expected
    if abs(ahead) <= TOLERATED_SECONDS or expected < PLAUSIBLE:
        return wall
    most = passed * SLEW
    return expected + max(-most, min(ahead, most))
