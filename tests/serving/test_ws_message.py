from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.ws_message import Assembly


@given(st.lists(st.tuples(st.text() | st.binary(), st.lists(st.integers(0, 20), max_size=5)), max_size=5))
def test_fragments_make_the_message_that_was_cut(messages: list[tuple[str | bytes, list[int]]]) -> None:
    """Wherever it was cut, also within a character, and one message after the other."""
    assembly = Assembly()
    for message, cuts in messages:
        data = message.encode() if isinstance(message, str) else message
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        pieces = [data[start:end] for start, end in pairwise(edges)]
        made = [
            assembly.add(
                piece,
                begins=None if number else "text" if isinstance(message, str) else "bytes",
                fin=number == len(pieces) - 1,
            )
            for number, piece in enumerate(pieces)
        ]
        assert made == [None] * (len(pieces) - 1) + [message]


def test_bad_text_is_refused_where_it_becomes_bad() -> None:
    """Not before, and not only at the end of the message."""
    assembly = Assembly()
    assert assembly.add(b"\xf4", begins="text", fin=False) is None
    with pytest.raises(UnicodeDecodeError):
        assembly.add(b"\x90", begins=None, fin=False)


def test_empty_fragments_weigh_nothing() -> None:
    """They count towards no limit, so that there may be any number of them."""
    assembly = Assembly()
    assembly.add(b"", begins="bytes", fin=False)
    for _ in range(10_000):
        assembly.add(b"", begins=None, fin=False)
    assert assembly._data.__sizeof__() < 1000
    assert assembly.add(b"", begins=None, fin=True) == b""


def test_pieces_are_counted() -> None:
    """Of the message that is arriving: empty ones, too."""
    assembly = Assembly()
    assert assembly.add(b"whole", begins="bytes", fin=True) == b"whole"
    assert assembly.pieces == 0
    assembly.add(b"", begins="text", fin=False)
    assembly.add(b"ab", begins=None, fin=False)
    assert (assembly.pieces, len(assembly)) == (2, 2)
    assert assembly.add(b"", begins=None, fin=True) == "ab"
    assert (assembly.pieces, len(assembly)) == (0, 0)
