from __future__ import annotations

import pytest

from tidegate.gate.jwt.jwks_schedule import FRESH_SECONDS, KEEP_SECONDS, Schedule


@pytest.fixture
def schedule() -> Schedule:
    return Schedule()


def test_first(schedule: Schedule) -> None:
    """Before the first fetch there is nothing to use and nothing to wait for."""
    assert schedule.is_due(0)
    assert not schedule.is_usable(0)
    assert schedule.wait(0) == 0


def test_fresh(schedule: Schedule) -> None:
    """Keys are fetched anew after five minutes, and used meanwhile."""
    schedule.begin(0)
    schedule.succeed(1)
    assert not schedule.is_due(FRESH_SECONDS)
    assert schedule.is_due(FRESH_SECONDS + 1)
    assert schedule.is_usable(FRESH_SECONDS + 1)


def test_missed(schedule: Schedule) -> None:
    """Whoever misses a key waits for the rest of five seconds since the last fetch began."""
    schedule.begin(10)
    schedule.succeed(12)
    assert schedule.wait(12) == 3
    assert schedule.wait(15) == schedule.wait(99) == 0


def test_missed_in_an_outage(schedule: Schedule) -> None:
    """Nor is a failure a reason to fetch more often than every five seconds for keys that are missed."""
    schedule.succeed(0)
    schedule.begin(10)
    schedule.fail(10)
    assert schedule.wait(10) == 5
    for _ in range(9):
        schedule.fail(10)
    assert schedule.wait(10) == 60


def test_backoff(schedule: Schedule) -> None:
    """Failures move the next fetch away: 1, 2, 4 … 60 s; a success brings it back."""
    delays: list[float] = []
    for _ in range(2000):
        schedule.begin(0)
        schedule.fail(0)
        delays.append(next(second for second in (1, 2, 4, 8, 16, 32, 60) if schedule.is_due(second)))
        assert schedule.wait(0) == delays[-1]
    assert delays[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delays[-1] == 60
    schedule.succeed(0)
    assert (schedule.failures, schedule.wait(5)) == (0, 0)


def test_a_long_outage(schedule: Schedule) -> None:
    """Old keys are used for a day, however often fetching them fails."""
    schedule.succeed(0)
    schedule.fail(KEEP_SECONDS - 10)
    assert schedule.is_usable(KEEP_SECONDS - 1)
    assert not schedule.is_usable(KEEP_SECONDS)
