from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gate.masking import masked


@given(st.text(max_size=20), st.integers(0, 2**256 - 1), st.integers(16, 64))
def test_masked(around: str, bits: int, digits: int) -> None:
    """No text tells a share token, nor a part of one from which the rest could be guessed."""
    token = f"{bits:064x}"[:digits]
    assert token not in masked(f"{around} share_{token} {around}")


@pytest.mark.parametrize("text", ["share_feed", "gen_0123456789abcdef0123456789abcdef", "share", ""])
def test_untouched(text: str) -> None:
    """Other names are told as they are."""
    assert masked(text) == text
