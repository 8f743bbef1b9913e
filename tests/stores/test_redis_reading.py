from __future__ import annotations

import pytest

from tidegate.stores.redis.reading import piece_of


@pytest.mark.parametrize(
    ("offset", "events"),
    [(1, [b"b", b"c", b"d", b"e"]), (2, [b"c", b"d", b"e"]), (3, [b"d", b"e"]), (4, [b"e"]), (5, []), (9, [])],
)
def test_a_piece_begins_after_its_offset(offset: int, events: list[bytes]) -> None:
    """It does so in the middle of an entry, and leaves out what the node has learnt since it asked."""
    assert piece_of([b"a:0", 5, None, [3, b"b\nc", 5, b"d\ne"]], offset).events == events
