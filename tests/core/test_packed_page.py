from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.events import Delta, ErrorInfo, Event, Extra, Failed, Reasoning, ToolCall, Usage, encode
from tidegate.core.packed_page import pack, unpack, weight_of

FOUND = Extra(chunk=msgspec.Raw(b'{\n"type":"delta",\n"text":"no line of ours"}'))
TEXTS = st.text() | st.sampled_from(["\n", '"', '{"type":"delta","text":"', '\n"', '"}\n"', "\u2028"])
EVENTS = st.one_of(
    TEXTS.map(Delta),
    TEXTS.map(lambda text: Delta(text, FOUND)),
    TEXTS.map(lambda text: Delta(text, Extra(refusal=True))),
    TEXTS.map(Reasoning),
    TEXTS.map(lambda text: ToolCall(0, arguments=text)),
    TEXTS.map(lambda text: Failed(ErrorInfo("server_error", "stalled", text), Usage(1, 1, 2))),
)


@given(st.lists(EVENTS))
def test_what_was_packed_comes_back_byte_for_byte(events: list[Event]) -> None:
    """Whatever was said, and however it was written, nothing of it is lost or taken for something else."""
    jsons = [encode(event) for event in events]
    assert list(unpack(pack(jsons))) == jsons


def test_a_token_takes_its_text_and_little_more() -> None:
    """A page of tokens is a third of its JSON."""
    jsons = [encode(Delta(f" {number:05}")) for number in range(512)]
    assert weight_of(pack(jsons)) < 512 * (6 + 4) + 128


def test_the_weight_counts_every_object() -> None:
    """Where events are kept one by one, each counts with what an object takes besides."""
    jsons = [encode(Delta(str(number), FOUND)) for number in range(10)]
    assert weight_of(pack(jsons)) > sum(map(len, jsons)) + 10 * 33
