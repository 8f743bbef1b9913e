from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.bucket import Buckets, TokenBucket


def test_burst_then_rate() -> None:
    """A bucket gives its capacity at once, and then its rate."""
    bucket = TokenBucket(2, 3, now=10)
    assert [bucket.take(1, 10) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(1, 10) == 0.5
    assert [bucket.take(1, now) for now in (10.4, 10.5, 10.9, 11)] == [False, True, False, True]


def test_never_more_than_full() -> None:
    """However long nobody takes anything, it holds its capacity."""
    bucket = TokenBucket(1, 5, now=0)
    assert bucket.level(1e9) == 5
    assert bucket.until_full(1e9) == 0


def test_settling() -> None:
    """What was used beyond the reservation is owed, and given back what was not."""
    bucket = TokenBucket(10, 100, now=0)
    assert bucket.take(50, 0)
    bucket.settle(70, 0)
    assert bucket.level(0) == -20
    assert not bucket.take(1, 2)
    assert bucket.wait(1, 2) == pytest.approx(0.1)
    bucket.settle(-1000, 2)
    assert bucket.level(2) == 100


def test_debt_is_bounded() -> None:
    """However much was used, it owes no more than it can hold."""
    bucket = TokenBucket(10, 100, now=0)
    bucket.settle(1e6, 0)
    assert bucket.level(0) == -100
    assert bucket.wait(1, 0) == pytest.approx(10.1)


def test_clock_that_stands() -> None:
    """A clock that does not move, or goes back, gives nothing."""
    bucket = TokenBucket(1, 1, now=5)
    assert bucket.take(1, 5)
    assert not bucket.take(1, 5)
    assert not bucket.take(1, 1)
    assert bucket.take(1, 6)


@given(
    st.floats(0.1, 1000),
    st.integers(1, 1000),
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_admitted(rate: float, capacity: int, steps: list[float]) -> None:
    """In no span is more taken than the capacity and what has flowed in since; who waits as told is let in."""
    bucket = TokenBucket(rate, capacity, now=0)
    now = 0.0
    taken = 0
    for step in steps:
        now += step
        if bucket.take(1, now):
            taken += 1
        else:
            now += bucket.wait(1, now) + 1e-9
            assert bucket.level(now) >= 1 - 1e-6
        assert taken <= capacity + now * rate + 1e-6


def test_accounts() -> None:
    """Each account has its own bucket; of more than can be held, the one seen longest ago begins anew."""
    buckets = Buckets(1, 1, most=2)
    assert buckets.of("a", 0).take(1, 0)
    assert buckets.of("b", 0).take(1, 0)
    assert not buckets.of("a", 0).take(1, 0)
    assert buckets.of("c", 0).take(1, 0)
    assert not buckets.of("a", 0).take(1, 0)
    assert buckets.of("b", 0).take(1, 0)


def test_what_was_free_is_given_back() -> None:
    """Never more than it holds."""
    bucket = TokenBucket(1, 2, 0)
    assert bucket.take(2, 0)
    bucket.give_back(1, 0)
    assert bucket.level(0) == 1
    bucket.give_back(5, 0)
    assert bucket.level(0) == 2


def test_borrowing_has_an_end() -> None:
    """What is not there may be taken until it owes its capacity; what is given back can be borrowed again."""
    bucket = TokenBucket(1, 2, 0)
    assert [bucket.borrow(1, 0) for _ in range(5)] == [True] * 4 + [False]
    assert bucket.level(0) == -2
    bucket.give_back(1, 0)
    assert bucket.borrow(1, 0)
