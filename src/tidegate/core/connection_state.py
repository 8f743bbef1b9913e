"""The states of a connection, from its first byte to its last, and which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

State = Literal["connecting", "authenticating", "active", "idle", "probing", "draining", "closed"]
"""`connecting`: nothing has been answered yet. `authenticating`: the client has yet to send credentials. `active`: it
is served. `idle`: it has sent nothing for a while, but answers pings. `probing`: it has not answered a ping, and gets
more. `draining`: it was asked to reconnect. `closed`: the connection is gone."""

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
    """The state `to`. Raises `RuntimeError` for a transition that is not in the table, which is a bug of ours."""
    if to not in TRANSITIONS[state]:
        raise RuntimeError(f"a connection that is {state} cannot become {to}")
    return to
