from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.crc32 import followed


@given(st.binary(), st.binary(), st.lists(st.binary(max_size=200), max_size=20))
def test_two_texts_that_grow_alike_need_one_checksum(one: bytes, other: bytes, pieces: list[bytes]) -> None:
    """What is appended to both is looked at once; the checksum of the other follows from it."""
    grown = b"".join(pieces)
    assert followed(crc32(one), crc32(other), crc32(other + grown), len(grown)) == crc32(one + grown)


def test_long_texts_take_no_longer_than_short_ones() -> None:
    """Sizes are raised to by squaring: a gigabyte is thirty steps."""
    assert followed(0, 0, 7, 1 << 30) == 7
