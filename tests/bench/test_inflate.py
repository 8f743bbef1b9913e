from __future__ import annotations

import zlib

import pytest

from tidegate.bench.inflate import Answer
from tidegate.errors import TidegateError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
EVENT = b'data: {"text":"@1790000000000000000;xxxxx"}\n\n'


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def flushed(body: bytes, how: int) -> bytes:
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(body) + compressor.flush(how)


@pytest.fixture
def answer() -> Answer:
    return Answer(gzip=True)


def test_a_read_gives_its_events_and_the_size_of_the_body(answer: Answer) -> None:
    """However many chunks it has; heads and framing do not count."""
    body = flushed(EVENT, zlib.Z_SYNC_FLUSH)
    assert answer.feed(GZIP) == (0, b"")
    assert answer.feed(chunk(body)) == (len(body), EVENT)
    assert Answer(gzip=False).feed(PLAIN + chunk(EVENT) + chunk(EVENT)) == (2 * len(EVENT), 2 * EVENT)


@pytest.mark.parametrize(
    "body",
    [
        flushed(EVENT, zlib.Z_NO_FLUSH),
        flushed(EVENT * 2000, zlib.Z_NO_FLUSH),
        flushed(EVENT[:-5], zlib.Z_SYNC_FLUSH),
        flushed(EVENT, zlib.Z_SYNC_FLUSH)[:-8],
    ],
    ids=["held back", "some of it held back", "half an event", "half its bytes"],
)
def test_an_event_that_is_not_there_at_once_is_an_error(answer: Answer, body: bytes) -> None:
    """The benchmark of compression would be none if its events were not flushed."""
    with pytest.raises(TidegateError, match="a read ends within an event"):
        answer.feed(GZIP + chunk(body))


def test_an_answer_other_than_was_asked_for_is_an_error() -> None:
    """Not compressed, compressed unasked, refused, torn or ended."""
    refused = PLAIN.replace(b"200 OK", b"503 Service Unavailable")
    for gzip, read in (
        (True, PLAIN),
        (False, GZIP),
        (False, refused),
        (False, PLAIN + chunk(EVENT)[:-3]),
        (False, PLAIN + chunk(b"")),
    ):
        with pytest.raises(TidegateError):
            Answer(gzip=gzip).feed(read)
