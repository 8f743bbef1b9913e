from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.delivery.compression import Gzip, SharedDeflate, accepts_gzip

BODIES = [b'id: abcdef-%d\nevent: delta\ndata: {"text":" word%d"}\n\n' % (n, n % 7) for n in range(400)]


def opened(pieces: list[bytes]) -> list[bytes]:
    """What a client has after each piece."""
    decompressor = zlib.decompressobj(31)
    return [decompressor.decompress(piece) for piece in pieces]


def test_every_write_can_be_read_at_once() -> None:
    """Nothing waits in a compressor: each piece gives exactly what was written, and the whole is valid gzip."""
    stream = Gzip(SharedDeflate())
    pieces = [stream.write(body, live=True) for body in BODIES]
    assert opened(pieces) == BODIES
    assert gzip.decompress(b"".join(pieces) + stream.end()) == b"".join(BODIES)


def test_an_empty_body_is_valid() -> None:
    """A response that had nothing to say is still gzip."""
    assert gzip.decompress(Gzip(SharedDeflate()).end()) == b""


def test_readers_at_the_tail_share_their_blocks() -> None:
    """The work is done once: the second reader of a block gets the first one's bytes."""
    shared = SharedDeflate()
    first, second = Gzip(shared), Gzip(shared)
    first.write(BODIES[0], live=True)
    second.write(BODIES[0], live=True)
    for body in BODIES[1:]:
        assert first.write(body, live=True) is second.write(body, live=True)


@given(
    st.lists(
        st.tuples(st.sampled_from(["live", "own", "join", "skip"]), st.integers(0, 3), st.binary(max_size=300)),
        max_size=60,
    )
)
def test_whatever_readers_do_each_has_its_own_text(steps: list[tuple[str, int, bytes]]) -> None:
    """Readers that join late, say something of their own, or miss a turn all decompress to what was written to them."""
    shared = SharedDeflate()
    readers = [Gzip(shared)]
    written: list[bytes] = [b""]
    sent: list[bytes] = [b""]
    for what, which, text in steps:
        body = bytes(text)
        if what == "join":
            readers.append(Gzip(shared))
            written.append(b"")
            sent.append(b"")
        chosen = which % len(readers)
        for index, reader in enumerate(readers):
            if (what == "own" and index != chosen) or (what == "skip" and index == chosen):
                continue
            sent[index] += reader.write(body, live=what != "own")
            written[index] += body
    for reader, text, raw in zip(readers, written, sent, strict=True):
        assert gzip.decompress(raw + reader.end()) == text


def test_readers_that_join_at_the_tail_share_from_the_next_event_on() -> None:
    """Who comes back to a live stream costs one block of its own, and is sent no more than the others after that."""
    shared = SharedDeflate()
    readers = [Gzip(shared)]
    for body in BODIES[:5]:
        readers[0].write(body, live=True)
    readers += [Gzip(shared) for _ in range(20)]
    for body in BODIES[5:7]:
        for reader in readers:
            reader.write(body, live=True)
    for body in BODIES[7:]:
        assert len({id(reader.write(body, live=True)) for reader in readers}) == 1


def test_openai_chunks_shrink_by_nine_tenths() -> None:
    """Events that repeat their frame are sent at a tenth of their size, although each is flushed."""
    chunk = (
        b'data: {"id":"chatcmpl-555dab59bb73711643033a1d35aad7c1","object":"chat.completion.chunk","created":1795,'
        b'"model":"fast","choices":[{"index":0,"delta":{"content":" word%d"},"finish_reason":null}]}\n\n'
    )
    bodies = [chunk % (n * 7919 % 1000) for n in range(500)]
    stream = Gzip(SharedDeflate())
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
