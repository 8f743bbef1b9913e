from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.backoff import Backoff

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "conformance/backoff.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_waits_as_the_vectors_say(vector: dict[str, Any]) -> None:
    """A client that lost its connection waits as every client of tidegate does."""
    dice = iter([step["random"] for step in vector["steps"] if step.get("delay") is not None])
    options = {name: vector[name] for name in ("attempts", "max_delay") if name in vector}
    backoff = Backoff(lambda: next(dice), **options)
    assert not backoff.offline
    for step in vector["steps"]:
        match step["do"]:
            case "failed":
                assert backoff.failed() == pytest.approx(step["delay"])
            case "at_least":
                backoff.at_least(step["retry_ms"])
            case _:
                backoff.reset()
        assert backoff.offline == step.get("offline", backoff.offline)


@given(st.integers(0, 10**15), st.floats(0, 1e9), st.lists(st.floats(0, 1), min_size=1))
def test_who_has_no_limit_never_gives_up_and_never_hurries(retry_ms: int, asked: float, dice: list[float]) -> None:
    """Whatever the dice and the server say, there is a next try: after a second, and within eight minutes."""
    rolls = iter(dice)
    backoff = Backoff(lambda: next(rolls), attempts=None)
    backoff.at_least(retry_ms)
    for _ in dice:
        assert 1 <= (backoff.failed(asked) or 0) <= 450


def test_what_is_asked_with_a_failure_holds_for_that_wait() -> None:
    """No shorter wait, jitter added; the next wait is the schedule's own."""
    backoff = Backoff(lambda: 0.5)
    assert backoff.failed(7) == pytest.approx(8.75)
    assert backoff.failed() == pytest.approx(2.5)
    assert backoff.failed(0.1) == pytest.approx(5)


def test_years_without_a_server_are_counted() -> None:
    """A wait of a client without a limit is no overflow."""
    backoff = Backoff(lambda: 0.0, attempts=None)
    for _ in range(2000):
        delay = backoff.failed()
    assert delay == 8
