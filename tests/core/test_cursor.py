from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.cursor import Cursor, new_epoch, parse
from tidegate.errors import MalformedCursor


@given(st.integers(0, 2**64), st.integers(0, 10**15))
def test_a_cursor_survives_the_wire(random: int, offset: int) -> None:
    """What was sent as an id is understood when it comes back."""
    cursor = Cursor(new_epoch(random), offset)
    assert parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "5k2q", "5k2q-", "-1", "5k2q--1", "5k2q-01", "5K2Q-1", "a-1 ", "a-1\n", "a-1-1", "é-1"]
)
def test_a_malformed_cursor_is_refused_by_name(text: str) -> None:
    """What is no cursor is a 400 that names the place it came from."""
    with pytest.raises(MalformedCursor) as caught:
        parse(text, param="Last-Event-ID")
    assert caught.value.param == "Last-Event-ID"
    assert caught.value.status == 400


def test_epochs_differ_with_their_randomness() -> None:
    """Two epochs drawn from different bits have different names."""
    assert len({new_epoch(bits) for bits in range(1000)}) == 1000
