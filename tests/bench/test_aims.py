from __future__ import annotations

import pytest

from tidegate.bench.aims import AIMS, Aim, judged
from tidegate.bench.report import Table
from tidegate.bench.runs import SCENARIOS


@pytest.fixture
def table() -> Table:
    made = Table("Relay", {"us/token": 1, "p50 ms": 2})
    made.add("tidegate", {"us/token": 30.0, "p50 ms": 0.5})
    made.add("proxy", {"us/token": 20.0, "p50 ms": 0.1})
    return made


def test_a_figure_meets_its_aim_or_misses_it(table: Table) -> None:
    """By itself, or as a multiple of another row's; what is just reached is met."""
    aims = [
        Aim("tidegate", "p50 ms", 0.5, readers=300),
        Aim("tidegate", "us/token", 1.5, readers=300, of="proxy"),
        Aim("tidegate", "us/token", 1.2, readers=300, of="proxy"),
    ]
    assert judged(table, aims, 300) == [
        "tidegate: 0.50 p50 ms; aim 0.5: met.",
        "tidegate: 1.50 of proxy's us/token; aim 1.5: met.",
        "tidegate: 1.50 of proxy's us/token; aim 1.2: missed.",
    ]


def test_an_aim_is_not_judged_at_another_size_or_without_the_other(table: Table) -> None:
    """Nor where its row was not measured."""
    aims = [
        Aim("tidegate", "p50 ms", 0.5, readers=60),
        Aim("tidegate", "p50 ms", 0.5, readers=300, of="hub"),
        Aim("handler", "p50 ms", 0.5, readers=300),
    ]
    assert judged(table, aims, 300) == []


def test_aims_belong_to_scenarios() -> None:
    """So that none is left behind when a scenario gets another name."""
    assert set(AIMS) <= set(SCENARIOS)
