"""The shortcut for the usual read, held to what the parser makes of the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.core.events import Delta, decode, encode
from tidegate.providers.openai import chunks
from tidegate.providers.openai.chunks import ChunkReader
from tidegate.providers.openai.errors import refusal_in_body
from tidegate.providers.openai.template import Template, canonical
from tidegate.testing.upstream import chunk, usage

FIRST = chunk({"content": "first"})
BEFORE, AFTER = FIRST.split(b'"first"')

texts = st.text(max_size=8) | st.sampled_from(
    ["", "\u2028", "\x7f", "\U0001f30a", '"', "\\", "\n", "\r\n\n", '","x":"']
)
strings = st.one_of(
    texts.map(lambda text: encode(Delta(text))[len('{"type":"delta","text":') : -1]),
    st.sampled_from(
        [
            rb'"\u00e9"',
            rb'"\ud83d\ude00"',
            rb'"\ud83d"',
            rb'"\ude00"',
            rb'"\u2028"',
            rb'"\/"',
            rb'"\x"',
            rb'"\u12"',
            b'"\x01"',
            b'"\t"',
            b'"\xff"',
            b'"\xed\xa0\x80"',
            b'"a" "b"',
            b'"a"b"',
            b'""',
            b'"',
            b"null",
            b"1",
            b'"a","role":"assistant"',
            b'"a"},"index":1,"x":{"content":"b"',
            b'"a\n\ndata: b"',
        ]
    ),
)
blocks = st.one_of(
    strings.map(lambda string: BEFORE + string + AFTER),
    st.sampled_from(
        [
            b": keep-alive\n\n",
            b"\n",
            b"event: error\n",
            b"data: \n\n",
            chunk({"content": "x", "reasoning_content": "y"}),
            chunk({"reasoning_content": "y"}),
            chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}),
            chunk({"content": "z"}, "stop"),
            chunk({}, "stop"),
            usage(3, 4),
            chunk({"content": "a"}).replace(b"\n", b"\r\n"),
            BEFORE.replace(b'"model":', b'"model" :') + b'"b"' + AFTER,
            b'data: {"error":{"message":"no"}}\n\n',
            b"data: [DONE]\n\n",
        ]
    ),
)


class Unlearned(Template):
    """Learns nothing, so that everything is parsed."""

    def learn(self, data: bytes, text: str, says: Callable[[bytes], str | None]) -> None:
        pass


def made(read: list[bytes], *, shortcut: bool) -> tuple[object, ...]:
    """What a reader makes of the reads: the events, their JSON, what it has counted, and how it stands at the end."""
    reader = ChunkReader(lambda said: refusal_in_body(said, ()), lambda: 5, make_id=lambda: "made")
    if not shortcut:
        reader._template = Unlearned()
    jsons: list[bytes] = []
    seen: list[object] = []
    for data in read:
        deltas = reader.deltas(data) if shortcut and not reader.ended else None
        jsons += [encode(event) for event in reader.feed(data)] if deltas is None else deltas
        seen.append((len(jsons), reader.pieces, reader.counted, reader.finishing))
    jsons += [encode(event) for event in reader.end()]
    return [decode(json) for json in jsons], jsons, seen, str(reader.error)


@given(sent=st.lists(blocks, max_size=8), cuts=st.lists(st.integers(0, 2000), max_size=4), aligned=st.booleans())
@example(sent=[BEFORE + b'"a"' + AFTER] * 3, cuts=[], aligned=True)
@example(sent=[BEFORE + rb'"\ud83d"' + AFTER, BEFORE + b'"a"' + AFTER], cuts=[], aligned=True)
@example(sent=[usage(3, 4), BEFORE + b'"a"' + AFTER], cuts=[], aligned=True)
@example(sent=[chunk({}, "stop"), BEFORE + b'"a"' + AFTER], cuts=[], aligned=True)
def test_the_shortcut_and_the_parser_make_the_same_events(sent: list[bytes], cuts: list[int], aligned: bool) -> None:
    """Whatever an upstream sends, and however it is cut, a sliced text is the text that the parser finds."""
    whole = FIRST + FIRST + b"".join(sent)
    ends = [0, len(FIRST), len(whole), *(min(cut, len(whole)) for cut in cuts)]
    if aligned:
        ends += [len(FIRST) * 2 + sum(map(len, sent[:count])) for count in range(len(sent))]
    reads = [whole[start:end] for start, end in pairwise(sorted(ends))]
    assert made(reads, shortcut=True) == made(reads, shortcut=False)


@pytest.mark.parametrize("count", [1, 16])
def test_the_usual_read_takes_the_shortcut(count: int) -> None:
    """One token a read, or many: nothing is parsed once the upstream's chunk is known."""
    reader = ChunkReader(lambda said: refusal_in_body(said, ()), lambda: 5, make_id=lambda: "made")
    reader.feed(FIRST)
    read = b"".join(chunk({"content": f" word{n}"}) for n in range(count))
    assert reader.deltas(read) == [encode(Delta(f" word{n}")) for n in range(count)]


@pytest.mark.parametrize(("size", "line_end"), [(1000, b"\n"), (1000, b"\r\n")])
def test_events_that_are_cut_are_not_parsed_either(size: int, line_end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that end anywhere, or have other line ends, cost the decoding of events, and no parsing of their JSON."""
    reader = ChunkReader(lambda said: refusal_in_body(said, ()), lambda: 5, make_id=lambda: "made")
    body = b"".join(chunk({"content": f" word{n}"}) for n in range(200)).replace(b"\n", line_end)
    events = reader.feed(FIRST.replace(b"\n", line_end))
    monkeypatch.setattr(chunks, "_values", None)
    for start in range(0, len(body), size):
        events += reader.feed(body[start : start + size])
    assert events == [Delta("first"), *(Delta(f" word{n}") for n in range(200))]


@given(st.text(min_size=1))
def test_a_text_is_written_in_one_way(text: str) -> None:
    """A text that is cut out is the JSON that would have been made of it, escapes and all."""
    json = encode(Delta(text))[len('{"type":"delta","text":"') : -2]
    assert canonical(json) == json
    assert canonical("".join(f"\\u{unit:04x}" for unit in _utf16(text)).encode()) == json


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[index : index + 2]) for index in range(0, len(data), 2)]
