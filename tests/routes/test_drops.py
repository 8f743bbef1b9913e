from __future__ import annotations

import pytest

from tidegate.errors import RateLimited
from tidegate.routes.drops import AGAIN_SECONDS, AT_ONCE, KEPT_SECONDS, MOST_NAMES, MOST_PRINCIPALS, Drops

LATER = 2 * AGAIN_SECONDS
"""So long between two drops that none is refused."""


def test_requests_are_counted_by_principal_and_name() -> None:
    """What one principal has sent is nothing to another."""
    drops = Drops()
    for principal, name in (("a", "x"), ("a", "x"), ("a", "y"), ("b", "x")):
        drops.add(principal, name, 0.0)
    assert [drops.count(*key, 1.0) for key in (("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"))] == [2, 1, 1, 0]


def test_a_name_is_forgotten_after_a_while() -> None:
    """It counts from its first request on, and begins anew after that."""
    drops = Drops()
    drops.add("a", "x", 0.0)
    assert drops.count("a", "x", KEPT_SECONDS - 1) == 1
    assert drops.count("a", "x", KEPT_SECONDS) == 0
    drops.add("a", "x", KEPT_SECONDS)
    assert drops.count("a", "x", KEPT_SECONDS) == 1


def test_only_so_many_names_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, of each principal and of all principals."""
    monkeypatch.setattr("tidegate.routes.drops.KEPT_SECONDS", LATER * (MOST_NAMES + MOST_PRINCIPALS + 1))
    drops, now = Drops(), 0.0
    for name in range(MOST_NAMES + 1):
        drops.add("a", str(name), now := now + LATER)
    assert [drops.count("a", str(name), now) for name in (0, 1)] == [0, 1]
    for principal in range(MOST_PRINCIPALS):
        drops.add(str(principal), "x", now := now + LATER)
    assert [drops.count(*key, now) for key in (("a", "1"), ("0", "x"))] == [0, 1]


def test_only_so_many_requests_are_left_unanswered() -> None:
    """Of all callers together: each is a failure of this node to a proxy, which may pass it over for everybody."""
    drops = Drops()
    for number in range(AT_ONCE):
        drops.add(f"caller {number}", "x", 0.0)
    with pytest.raises(RateLimited) as refused:
        drops.add("another", "x", 0.0)
    assert refused.value.retry_after == pytest.approx(AGAIN_SECONDS)
    assert drops.count("another", "x", 0.0) == 0
    drops.add("another", "x", AGAIN_SECONDS)
    with pytest.raises(RateLimited):
        drops.add("another", "x", AGAIN_SECONDS)
