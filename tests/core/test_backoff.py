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
    dice = iter([step["random"] for step in vector["steps"] if step["do"] == "failed"])
    backoff = Backoff(lambda: next(dice))
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


@given(st.integers(0, 10**15), st.lists(st.floats(0, 1), min_size=1))
def test_client_never_gives_up_and_never_hurries(retry_ms: int, dice: list[float]) -> None:
    """Whatever the dice and the server say, there is a next try: after a second, and within eight minutes."""
    rolls = iter(dice)
    backoff = Backoff(lambda: next(rolls))
    backoff.at_least(retry_ms)
    for _ in dice:
        assert 1 <= backoff.failed() <= 450
