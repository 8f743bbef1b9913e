from __future__ import annotations

from tidegate.routes.drops import KEPT_SECONDS, MOST_NAMES, MOST_PRINCIPALS, Drops


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


def test_only_so_many_names_are_remembered() -> None:
    """The oldest go first, of each principal and of all principals."""
    drops = Drops()
    for name in range(MOST_NAMES + 1):
        drops.add("a", str(name), 0.0)
    assert [drops.count("a", str(name), 0.0) for name in (0, 1)] == [0, 1]
    for principal in range(MOST_PRINCIPALS):
        drops.add(str(principal), "x", 0.0)
    assert [drops.count(*key, 0.0) for key in (("a", "1"), ("0", "x"))] == [0, 1]
