from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.sse import Decoder, ServerSentEvent, comment, encode, escaped
from tidegate.errors import UpstreamMalformed

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "conformance/sse.json").read_text("utf-8"))

vectors = pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])

# Every way to cut 14 bytes is 8,192 ways; longer vectors are cut in every place, but in two places at a time.
EXHAUSTIVE = 14


def chunks_of(vector: dict[str, Any]) -> list[bytes]:
    return [c.encode() if isinstance(c, str) else base64.b64decode(c["base64"]) for c in vector["chunks"]]


def expected(vector: dict[str, Any], got: list[ServerSentEvent]) -> list[ServerSentEvent]:
    """The vector's events; where it does not say whose an id is, as it was got."""
    owners = [event.own_id for event in got] + [False] * len(vector["events"])
    return [ServerSentEvent(**{"own_id": own, **event}) for own, event in zip(owners, vector["events"], strict=False)]


def decoded(chunks: list[bytes], decoder: Decoder | None = None) -> list[ServerSentEvent]:
    decoder = decoder or Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def cut(data: bytes, places: tuple[int, ...]) -> list[bytes]:
    edges = (0, *places, len(data))
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def cuttings(data: bytes) -> list[list[bytes]]:
    places = range(1, len(data))
    most = len(data) if len(data) <= EXHAUSTIVE else 2
    found = [cut(data, chosen) for count in range(most + 1) for chosen in itertools.combinations(places, count)]
    return [*found, [data[i : i + 1] for i in range(len(data))]]


@vectors
def test_decodes_as_the_vectors_say(vector: dict[str, Any]) -> None:
    """The decoder does what every client of tidegate must do."""
    comments: list[str] = []
    decoder = Decoder(on_comment=comments.append)
    events = decoded(chunks_of(vector), decoder)
    assert events == expected(vector, events)
    assert comments == vector.get("comments", comments)
    assert decoder.last_event_id == vector.get("last_event_id", decoder.last_event_id)
    assert decoder.retry_ms == vector.get("retry_ms", decoder.retry_ms)


@vectors
def test_chunking_of_the_vectors_changes_nothing(vector: dict[str, Any]) -> None:
    """The same bytes give the same events, wherever the network cuts them."""
    data = b"".join(chunks_of(vector))
    for chunks in cuttings(data):
        comments: list[str] = []
        decoder = Decoder(on_comment=comments.append)
        events = decoded(chunks, decoder)
        assert events == expected(vector, events), chunks
        assert comments == vector.get("comments", comments)
        assert decoder.last_event_id == vector.get("last_event_id", decoder.last_event_id)
        assert decoder.retry_ms == vector.get("retry_ms", decoder.retry_ms)


LINES = [b"data: a", b"data:b", b"data", b"id: 1", b"id: \x00", b"event: x", b"retry: 10", b": c", b"\xef\xbb\xbf"]
pieces = st.one_of(st.sampled_from(LINES), st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n"]), st.binary(max_size=4))


@given(st.lists(pieces, max_size=30), st.data())
def test_any_chunking_is_the_same(parts: list[bytes], data: st.DataObject) -> None:
    """No stream, well formed or not, reads differently in other chunks."""
    stream = b"".join(parts)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    whole, cut_up = Decoder(), Decoder()
    assert decoded(cut(stream, tuple(sorted(places))), cut_up) == decoded([stream], whole)
    assert (cut_up.last_event_id, cut_up.retry_ms) == (whole.last_event_id, whole.retry_ms)


no_breaks = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)


@given(
    st.lists(
        st.tuples(
            st.text(st.one_of(st.sampled_from("\r\n \ufeff:"), st.characters(exclude_categories=["Cs"]))),
            no_breaks,
            no_breaks,
            st.none() | st.integers(0, 10**15 - 1),
        )
    ),
    st.integers(1, 50),
)
def test_what_is_encoded_is_decoded(events: list[tuple[str, str, str, int | None]], size: int) -> None:
    """A reader gets what was sent; only CR and CRLF in data become LF, as the format has no other way."""
    stream = b"".join(encode(data.encode(), event=name, id=id, retry_ms=retry) for data, name, id, retry in events)
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert decoded(chunks) == [
        ServerSentEvent(name or "message", data.replace("\r\n", "\n").replace("\r", "\n"), id, retry, own_id=True)
        for data, name, id, retry in events
    ]


def test_block_is_as_documented() -> None:
    """On the wire an event is id, event and data, with LF, as the API's page shows it."""
    block = encode(b'{"text":" world"}', event="delta", id="5k2q-13")
    assert block == b'id: 5k2q-13\nevent: delta\ndata: {"text":" world"}\n\n'
    assert encode(b"x", event="e", id="1", retry_ms=10) == b"id: 1\nevent: e\nretry: 10\ndata: x\n\n"
    assert encode(b"[DONE]") == b"data: [DONE]\n\n"


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb", b"a\r\nb"])
def test_each_line_of_data_has_its_field(data: bytes) -> None:
    """No line break in data can end an event early or begin another field."""
    assert encode(data) == b"data: a\ndata: b\n\n"


def test_trailing_line_break_of_data_is_kept() -> None:
    """Text that ends with a line break still does at the reader's."""
    assert encode(b"a\n") == b"data: a\ndata: \n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\r\n", "a\n\ndata: forged"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_nothing_is_injected_through_a_field(field: str, text: str) -> None:
    """Names and ids cannot forge events."""
    with pytest.raises(ValueError, match=field):
        encode(b"x", **{field: text})


def test_id_with_nul_is_refused() -> None:
    """A reader would ignore such an id and come back at the wrong place."""
    with pytest.raises(ValueError, match="NUL"):
        encode(b"x", id="a\0b")


def test_negative_retry_is_refused() -> None:
    """A reader would ignore it."""
    with pytest.raises(ValueError, match="negative"):
        encode(b"x", retry_ms=-1)


def test_comment_is_a_block_of_its_own() -> None:
    """A heartbeat is a comment and a blank line."""
    assert comment() == b":\n\n"
    assert comment("heartbeat") == b": heartbeat\n\n"


@given(st.text(st.sampled_from("\r\n:a d")))
def test_comment_is_never_an_event(text: str) -> None:
    """Whatever a comment says, readers see nothing of it, and the next event is whole."""
    assert decoded([comment(text), encode(b"x")]) == [ServerSentEvent("message", "x", "")]


@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * 100, b"data: " + b"x" * 100 + b"\n\n", b"data: 1234\n" * 20, b": " + b"c" * 100 + b"\n"],
    ids=["endless line", "long line", "endless event", "long comment"],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_memory_is_bounded(stream: bytes, size: int) -> None:
    """A server that never ends its line or event is cut off, not kept."""
    decoder = Decoder(max_event_bytes=64)
    with pytest.raises(UpstreamMalformed, match="64 bytes"):
        decoded([stream[i : i + size] for i in range(0, len(stream), size)], decoder)


def test_many_comments_are_not_one_long_event() -> None:
    """Heartbeats without blank lines, however many, do not add up to an event that is too long."""
    decoder = Decoder(max_event_bytes=64)
    assert decoded([b": heartbeat\n"] * 100 + [b"data: x\n\n"], decoder) == [ServerSentEvent("message", "x", "")]


def test_limit_counts_one_event() -> None:
    """Many events of an allowed size pass, also in one chunk that is longer than the limit."""
    assert len(Decoder(max_event_bytes=64).feed(encode(b"x" * 50) * 100)) == 100


LINE_ENDS = ["\u2028", "\u2029", "\x85", "\\\u2028", '"\u2029"', "’\u2028…"]


@given(st.text() | st.lists(st.sampled_from(LINE_ENDS)).map("".join))
def test_json_has_no_line_ends_that_only_unicode_knows(text: str) -> None:
    """Readers that split at them, too, get whole lines; what the JSON says is the same."""
    block = escaped(encode(json.dumps({text: text}, ensure_ascii=False).encode(), event="delta", id="a-1"))
    _, _, data, empty = block.decode().splitlines()
    assert empty == ""
    assert json.loads(data.removeprefix("data: ")) == {text: text}
