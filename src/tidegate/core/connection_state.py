"""What becomes of a connection, from its first byte to its last: the states, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

State = Literal["connecting", "authenticating", "active", "idle", "probing", "draining", "closed"]
"""`connecting`: nothing has been answered yet. `authenticating`: it has still to say who it is. `active`: it is served.
`idle`: it has said nothing for a while, but is there. `probing`: it does not even answer, and is asked again.
`draining`: it was told to go, and to come back. `closed`: it is gone."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    "connecting": frozenset({"authenticating", "active", "draining", "closed"}),
    "authenticating": frozenset({"active", "draining", "closed"}),
    "active": frozenset({"idle", "probing", "draining", "closed"}),
    "idle": frozenset({"active", "probing", "draining", "closed"}),
    "probing": frozenset({"active", "idle", "draining", "closed"}),
    "draining": frozenset({"closed"}),
    "closed": frozenset(),
}


def moved(state: State, to: State) -> State:
    """The state after the move. Raises `RuntimeError` where the table does not have it, which is a mistake of ours."""
    if to not in TRANSITIONS[state]:
        raise RuntimeError(f"a connection that is {state} cannot become {to}")
    return to
