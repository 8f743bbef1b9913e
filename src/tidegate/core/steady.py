"""A clock that keeps Unix time, and does not jump: what is kept for a day is not kept for a minute by a wrong clock."""

from __future__ import annotations

from collections.abc import Callable

TOLERATED_SECONDS = 2.0
"""Clocks are set by so much all the time: that is followed at once."""

SLEW = 1 / 8
"""Of the time that passes: by so much it runs faster, or slower, until it is right again after a jump."""

PLAUSIBLE = 1735689600.0
"""The beginning of 2025: a clock before that has not been set yet, and is followed at once when it is."""


class SteadyClock:
    """`wall` is in Unix seconds; `elapsed` in seconds of any origin, and goes on while the machine sleeps."""

    def __init__(self, wall: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._at = wall()
        self._since = elapsed()

    def __call__(self) -> float:
        """Unix seconds."""
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
