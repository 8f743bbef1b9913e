from __future__ import annotations

import pytest

from .__main__ import main
from .history import Event, Kept
from .plan import KINDS, draw, without_ends
from .report import Outcome, rare, table

SEEDS = range(10)


def test_ten_seeds_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever ten seeds do to a server, readers have each event once, in order, and nothing acknowledged is lost."""
    code = main([*map(str, SEEDS), "--jobs", "5"])
    assert code == 0, capsys.readouterr().out


def test_a_seed_stands_for_one_plan() -> None:
    """Two draws of a seed are the same, and two seeds differ."""
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert len({repr(draw(seed)) for seed in range(50)}) == 50


def test_a_thousand_seeds_plan_every_fault() -> None:
    """Every fault of the server and of the lines is planned often enough in a thousand seeds."""
    planned = [fault.kind for seed in range(1000) for fault in draw(seed).faults]
    assert [kind for kind in set(planned) if planned.count(kind) < 100] == []
    assert set(planned) <= set(KINDS)


def test_a_store_without_a_file_is_not_killed() -> None:
    """The plan for `memory://` has no fault that ends the process."""
    plans = [without_ends(draw(seed)) for seed in range(200)]
    assert not {fault.kind for plan in plans for fault in plan.faults} & {"kill", "kill_twice", "drain"}
    assert not any(plan.kill_at_rest for plan in plans)


def outcome(fired: dict[str, int]) -> Outcome:
    return Outcome(0, 1.0, fired, streams=1, readers=2, connections=3, events=4, appends=5, violations=[])


def test_a_fault_that_hardly_fires_is_reported() -> None:
    """A kind of fault that fired fewer than 20 times in all is named, one that fired 20 times is not."""
    often = outcome(dict.fromkeys(KINDS, 10))
    assert rare([often, often]) == {}
    assert rare([often, outcome({**often.fired, "kill": 9})]) == {"kill": 19}
    assert "| kill | 20 |" in table([often, often])


def test_an_event_knows_its_place() -> None:
    """The id of an event is its epoch and its offset."""
    event = Event("delta", {"text": "x"}, "5k2q-13")
    assert (event.epoch, event.offset) == ("5k2q", 13)
    assert Kept("gen_1", [event]).events == [event]
