"""How long a body is."""

from __future__ import annotations

import pytest

from tidegate.errors import MalformedHttp
from tidegate.serving.http_framing import body_length, is_small

CODED = b"transfer-encoding"


def test_a_body_is_as_long_as_its_head_says() -> None:
    """Nothing said is none; of chunks nobody knows."""
    assert body_length([(b"host", b"a")], "1.1") == 0
    assert body_length([(b"content-length", b"12")], "1.1") == 12
    assert body_length([(CODED, b"Chunked")], "1.1") is None


@pytest.mark.parametrize(
    "codings",
    [
        [b"gzip, chunked"],
        [b"gzip", b"chunked"],
        [b"chunked, chunked"],
        [b"chunked", b"chunked"],
        [b"identity"],
        [b"chunked;q=1"],
        [b"chunked, gzip"],
        [b""],
    ],
)
def test_no_other_coding_is_taken(codings: list[bytes]) -> None:
    """What it stands for would be lost, or taken for something else by a proxy in front (RFC 9112, 6.1)."""
    with pytest.raises(MalformedHttp):
        body_length([(CODED, coding) for coding in codings], "1.1")


def test_two_lengths_are_none() -> None:
    """Two parties could take each another one, and what is left over for a request (RFC 9112, 6.3)."""
    with pytest.raises(MalformedHttp):
        body_length([(CODED, b"chunked"), (b"content-length", b"3")], "1.1")
    with pytest.raises(MalformedHttp):
        body_length([(CODED, b"chunked")], "1.0")


def test_a_small_body_says_so() -> None:
    """What is packed, or in chunks, may be of any size."""
    assert is_small([(b"content-length", b"10")], 10)
    assert is_small([], 10)
    assert not is_small([(b"content-length", b"11")], 10)
    assert not is_small([(b"content-length", b"1"), (b"content-encoding", b"gzip")], 10)
    assert not is_small([(CODED, b"chunked")], 10)
