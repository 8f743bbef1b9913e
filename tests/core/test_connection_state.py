from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.connection_state import TRANSITIONS, State, moved

PAGE = Path(__file__).parents[2] / "docs" / "connections.md"
STATES: tuple[State, ...] = get_args(State)


def diagram() -> str:
    """The table of transitions as Mermaid draws it."""
    begins, *_ = STATES
    arrows = [f"    {state} --> {to}" for state in STATES for to in STATES if to in TRANSITIONS[state]]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {begins}", *arrows, "    closed --> [*]", "```"])


@given(st.lists(st.sampled_from(STATES), max_size=30))
def test_a_connection_goes_only_where_the_table_leads(wanted: list[State]) -> None:
    """Whatever is asked of it, a connection moves as the table has it, stays where it was otherwise, and ends once."""
    state: State = "connecting"
    been = [state]
    for to in wanted:
        if to in TRANSITIONS[state]:
            state = moved(state, to)
            been.append(state)
        else:
            with pytest.raises(RuntimeError, match=f"{state} cannot become {to}"):
                moved(state, to)
    assert all(to in TRANSITIONS[before] for before, to in pairwise(been))
    assert been.count("connecting") == 1
    assert been.count("draining") <= 1
    assert "closed" not in been[:-1]


@pytest.mark.parametrize("state", STATES)
def test_every_connection_can_end(state: State) -> None:
    """From wherever it is, a connection can be closed at once, and until it is told to go it can be told."""
    assert ("closed" in TRANSITIONS[state]) == (state != "closed")
    assert ("draining" in TRANSITIONS[state]) == (state not in ("draining", "closed"))


def test_every_state_can_be_reached() -> None:
    """The table has no state that no connection is ever in."""
    reached = {"connecting", *(to for tos in TRANSITIONS.values() for to in tos)}
    assert reached == set(STATES) == set(TRANSITIONS)


def test_the_diagram_shows_the_table() -> None:
    """docs/connections.md draws exactly the transitions there are; what is missing there is what this shows."""
    assert diagram() in PAGE.read_text("utf-8")
