from __future__ import annotations

import pytest

from tidegate.core.request_id import make_request_id, sent_request_id


@pytest.mark.parametrize("sent", ["a", "A-z.0_9", "x" * 128])
def test_fit(sent: str) -> None:
    """A client's own id is kept if it is safe in a header and in a log line."""
    assert sent_request_id([(b"accept", b"*/*"), (b"x-request-id", sent.encode())]) == sent


@pytest.mark.parametrize("sent", [b"", b"x" * 129, b"a b", b"a\n", b"\xc3\xa4", b"<b>", b'"'])
def test_unfit(sent: bytes) -> None:
    """Anything else is as good as none."""
    assert sent_request_id([(b"x-request-id", sent)]) is None


def test_none() -> None:
    """Most clients send none."""
    assert sent_request_id([]) is None


def test_made() -> None:
    """An id of our own is fit to be sent back to us."""
    made = make_request_id(bytes(range(16)))
    assert made == "req_000102030405060708090a0b0c0d0e0f"
    assert sent_request_id([(b"x-request-id", made.encode())]) == made
