from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.delivery.compression import Deflate, Gzip, accepts_gzip

BODIES = [b'id: abcdef-%d\nevent: delta\ndata: {"text":" word%d"}\n\n' % (n, n % 7) for n in range(400)]


def opened(pieces: list[bytes]) -> list[bytes]:
    """What a client has after each piece."""
    decompressor = zlib.decompressobj(31)
    return [decompressor.decompress(piece) for piece in pieces]


def test_every_write_can_be_read_at_once() -> None:
    """Nothing waits in a compressor: each piece gives exactly what was written, and the whole is valid gzip."""
    stream = Gzip()
    pieces = [stream.write(body, live=True) for body in BODIES]
    assert opened(pieces) == BODIES
    assert gzip.decompress(b"".join(pieces) + stream.end()) == b"".join(BODIES)


def test_an_empty_body_is_valid() -> None:
    """A response that had nothing to say is still gzip."""
    assert gzip.decompress(Gzip().end()) == b""


@given(
    st.lists(st.tuples(st.sampled_from(["live", "own", "join", "leave"]), st.integers(0, 3), st.binary(max_size=300)))
)
def test_whatever_readers_do_each_has_its_own_text(steps: list[tuple[str, int, bytes]]) -> None:
    """Readers that join a broadcast and leave it, and are sent texts of their own, decompress to what was written."""
    shared = Deflate()
    readers = [Gzip() for _ in range(4)]
    written: list[bytes] = [b""] * 4
    sent: list[bytes] = [b""] * 4
    together: set[int] = set()
    for what, which, body in steps:
        if what == "join" and which not in together and readers[which].join(shared):
            together.add(which)
        elif what == "leave" and which in together:
            readers[which].leave(shared)
            together.remove(which)
        elif what in ("live", "own") and which not in together:
            sent[which] += readers[which].write(body, live=what == "live")
            written[which] += body
        elif together:
            block = shared.block(body)
            for member in together:
                sent[member] += block
                written[member] += body
    for index in together:
        readers[index].leave(shared)
    for reader, text, raw in zip(readers, written, sent, strict=True):
        assert gzip.decompress(raw + reader.end()) == text


def test_what_stands_alone_may_come_between_live_texts() -> None:
    """A heartbeat between two events harms neither: nothing after it refers to what was before it."""
    stream = Gzip()
    sent = [stream.write(body, live=n != 1) for n, body in enumerate((BODIES[0], b": heartbeat\n\n", *BODIES[1:50]))]
    assert gzip.decompress(b"".join(sent) + stream.end()) == BODIES[0] + b": heartbeat\n\n" + b"".join(BODIES[1:50])


def test_live_texts_share_a_compressor() -> None:
    """A text that repeats the one before is sent as a reference to it."""
    stream = Gzip()
    first, second = stream.write(b"x" * 64 + bytes(range(64)), live=True), stream.write(bytes(range(64)), live=True)
    assert len(second) < 32 < len(first)


def test_openai_chunks_shrink_by_nine_tenths() -> None:
    """Events that repeat their frame are sent at a tenth of their size, although each is flushed."""
    chunk = (
        b'data: {"id":"chatcmpl-555dab59bb73711643033a1d35aad7c1","object":"chat.completion.chunk","created":1795,'
        b'"model":"fast","choices":[{"index":0,"delta":{"content":" word%d"},"finish_reason":null}]}\n\n'
    )
    bodies = [chunk % (n * 7919 % 1000) for n in range(500)]
    stream = Gzip()
    sent = sum(len(stream.write(body, live=True)) for body in bodies)
    assert sent < 0.1 * sum(map(len, bodies))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("br, zstd", False),
        ("identity", False),
        ("", False),
        (None, False),
    ],
)
def test_only_who_asks_is_sent_gzip(header: str | None, accepted: bool) -> None:
    """A client that does not name gzip, or refuses it, is not sent it."""
    assert accepts_gzip(header) is accepted
