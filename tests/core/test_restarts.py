from __future__ import annotations

from tidegate.core.restarts import DELAYS, HEALTHY_SECONDS, Restarts


def test_the_first_restart_is_at_once_and_later_ones_wait() -> None:
    """Half a minute at the most, however often it dies."""
    restarts = Restarts()
    assert [restarts.delay_after(0.0) for _ in range(9)] == [*DELAYS, 30.0, 30.0]


def test_a_process_that_has_worked_begins_anew() -> None:
    """Its death is no sign that the next one dies as well."""
    restarts = Restarts()
    for _ in range(3):
        restarts.delay_after(1.0)
    assert restarts.delay_after(HEALTHY_SECONDS + 1) == 0.0
    assert restarts.delay_after(1.0) == DELAYS[1]
