from __future__ import annotations

from tidegate.core.difference import Difference, difference


def test_each_name_is_in_one_place_at_most() -> None:
    """What is the same in both tables is nowhere."""
    before, after = {"a": 1, "b": 2, "c": 3}, {"d": 4, "b": 5, "a": 1}
    assert difference(before, after) == Difference(added=("d",), changed=("b",), removed=("c",))
    assert difference(before, before) == Difference()
