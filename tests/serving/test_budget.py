"""What all connections share: who comes in."""

from __future__ import annotations

import pytest

from tidegate.errors import Overloaded, TooManyConnections
from tidegate.serving.budget import MOST_TURNED_AWAY, Budget
from tidegate.serving.peers import Peers


def account_of(address: str) -> str | None:
    return None if address == "127.0.0.1" else f"address:{address}"


def test_beyond_the_limit_a_connection_is_told_so() -> None:
    """As long as those who are told are few: beyond that there is no descriptor for it."""
    budget = Budget(connections=10)
    assert budget.refusal(10, None, "") is None
    assert isinstance(budget.refusal(11, None, ""), Overloaded)
    assert not budget.is_beyond(10 + MOST_TURNED_AWAY)
    assert budget.is_beyond(11 + MOST_TURNED_AWAY)


def test_an_address_has_so_many_that_serve_nobody() -> None:
    """One that begins to serve somebody makes room for another."""
    peers = Peers(2, account_of)
    budget = Budget(peers=peers)
    for _ in range(2):
        assert budget.refusal(1, "address:192.0.2.7", "192.0.2.7") is None
        peers.come("address:192.0.2.7")
    with pytest.raises(TooManyConnections):
        raise budget.refusal(1, "address:192.0.2.7", "192.0.2.7") or AssertionError
    assert budget.refusal(1, "address:192.0.2.8", "192.0.2.8") is None
    peers.go("address:192.0.2.7")
    assert budget.refusal(1, "address:192.0.2.7", "192.0.2.7") is None


def test_a_proxys_connections_are_not_counted() -> None:
    """They are those of many callers."""
    assert Peers(2, account_of).account_of("127.0.0.1") is None
    assert Peers(2, account_of).account_of("192.0.2.7") == "address:192.0.2.7"


def test_no_limit_counts_nobody() -> None:
    """0 is no limit."""
    assert Peers(0, account_of).account_of("192.0.2.7") is None
