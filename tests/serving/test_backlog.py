"""What was read, taken in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.backlog import PIECE_BYTES, Backlog

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def of(*reads: bytes) -> Backlog:
    backlog = Backlog()
    for read in reads:
        backlog.add(read)
    return backlog


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(1, 20)))
def test_nothing_is_lost_and_nothing_twice(reads: list[bytes], sizes: list[int]) -> None:
    """However it was read, and however it is taken."""
    backlog, taken = of(*reads), b""
    for size in sizes:
        seen = backlog.peek(size)
        assert seen == backlog.take(size)
        taken += seen
    rest = len(backlog)
    assert taken + backlog.clear() == b"".join(reads)
    assert rest == len(b"".join(reads)) - len(taken)
    assert not backlog


def test_a_piece_has_one_request() -> None:
    """It ends with the head that ends in it, so that what follows can wait."""
    backlog = of(GET * 3)
    assert [backlog.take_head() for _ in range(3)] == [GET] * 3


def test_a_piece_without_an_end_is_small() -> None:
    """What is no head, or none that is small, is taken as it comes."""
    backlog = of(b"1\r\nx\r\n" * 10_000)
    assert len(backlog.take_head()) == PIECE_BYTES


def test_what_is_put_back_comes_first() -> None:
    """A head that has to be parsed anew goes before what follows it."""
    backlog = of(b"abcd")
    assert backlog.take(2) == b"ab"
    backlog.put_back(b"AB")
    assert backlog.clear() == b"ABcd"
