from __future__ import annotations

from tidegate.core.pause import LATE_SECONDS, was_paused


def test_a_timer_that_is_much_too_late_was_kept_from_its_time() -> None:
    """A loop that is busy is late, too, but never by so much."""
    assert not was_paused(10.0, 10.0)
    assert not was_paused(10.0, 10.0 + LATE_SECONDS)
    assert was_paused(10.0, 10.01 + LATE_SECONDS)
