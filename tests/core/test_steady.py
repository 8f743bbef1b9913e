from __future__ import annotations

from tidegate.core.steady import PLAUSIBLE, SLEW, SteadyClock

NOW = PLAUSIBLE + 1000.0
DAY = 86400.0


class Clocks:
    def __init__(self, wall: float = NOW) -> None:
        self.wall = wall
        self.elapsed = 50.0
        self.steady = SteadyClock(lambda: self.wall, lambda: self.elapsed)

    def passes(self, seconds: float) -> float:
        self.wall += seconds
        self.elapsed += seconds
        return self.steady()


def test_it_is_the_wall_clock_as_long_as_that_is_right() -> None:
    """Small corrections are followed at once, forwards and backwards."""
    clocks = Clocks()
    assert clocks.passes(10) == NOW + 10
    for correction in (1.5, -1.5):
        clocks.wall += correction
        assert clocks.passes(1) == clocks.wall


def test_a_jump_ahead_ages_nothing() -> None:
    """A minute after the clock was set two days ahead, what is kept is a minute older, or little more."""
    clocks = Clocks()
    clocks.wall += 2 * DAY
    assert clocks.passes(60) == NOW + 60 * (1 + SLEW)


def test_a_jump_back_keeps_nothing_for_ever() -> None:
    """Time goes on where the clock was set back a year, somewhat slower."""
    clocks = Clocks()
    clocks.wall -= 365 * DAY
    assert clocks.passes(8 * DAY) == NOW + 8 * DAY * (1 - SLEW)


def test_it_is_right_again_in_the_end() -> None:
    """What it is behind, or ahead, is made up for, and not overdone."""
    for wrong in (600.0, -600.0):
        clocks = Clocks()
        clocks.wall += wrong
        for _ in range(10):
            clocks.passes(600)
        assert clocks.steady() == clocks.wall


def test_a_clock_that_was_never_set_is_followed_once_it_is() -> None:
    """A machine without one begins in 1970, until it has asked for the time."""
    clocks = Clocks(wall=100.0)
    clocks.passes(30)
    clocks.wall = NOW
    assert clocks.passes(1) == NOW + 1
