from __future__ import annotations

from itertools import product

import pytest

from tidegate.workers.assignment import assigned


def test_each_has_its_own() -> None:
    """While all live, none takes connections for another."""
    assert assigned([True, True, True]) == [[0], [1], [2]]


@pytest.mark.parametrize("alive", list(product((True, False), repeat=4))[:-1])
def test_whatever_is_dead_is_taken_over_by_one(alive: tuple[bool, ...]) -> None:
    """As long as one lives every connection is taken, by as few more as the others allow."""
    listeners = assigned(alive)
    assert sorted(number for numbers in listeners for number in numbers) == list(range(4))
    counts = [len(numbers) for numbers, lives in zip(listeners, alive, strict=True) if lives]
    assert max(counts) - min(counts) <= 1
    assert not any(numbers for numbers, lives in zip(listeners, alive, strict=True) if not lives)


def test_where_nobody_lives_nobody_is_told() -> None:
    """Clients wait until one lives again."""
    assert assigned([False, False]) == [[], []]
