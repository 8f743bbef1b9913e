from __future__ import annotations

from tidegate.core.steps import Steps, finished, until


def counting(done: list[int]) -> Steps[str]:
    try:
        for step in range(3):
            done.append(step)
            yield
    finally:
        done.append(-1)
    return "counted"


def test_what_is_wanted_is_finished() -> None:
    """Work that nobody ends has its result, and as many steps as before."""
    done: list[int] = []
    assert finished(until(lambda: False, counting(done))) == "counted"
    assert len(list(until(lambda: False, counting(done)))) == 3


def test_what_is_not_wanted_any_more_is_left() -> None:
    """Work that is over is not gone on with, is closed, and has no result."""
    done: list[int] = []
    assert finished(until(lambda: len(done) == 2, counting(done))) is None
    assert done == [0, 1, -1]
