from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.events import Delta, ErrorInfo, Event, Extra, Failed, Reasoning, ToolCall, Usage, encode
from tidegate.core.packed_page import BIG_EVENT_BYTES, first_size, memory_of, pack, pages_of, unpack

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


SIZED = EVENTS | st.integers(BIG_EVENT_BYTES - 40, BIG_EVENT_BYTES).map(lambda size: Delta("x" * size))


@given(st.lists(EVENTS))
def test_what_was_packed_comes_back_byte_for_byte(events: list[Event]) -> None:
    """Whatever was said, and however it was written, nothing of it is lost or taken for something else."""
    jsons = [encode(event) for event in events]
    assert list(unpack(pack(jsons))) == jsons


@given(st.lists(SIZED, min_size=1))
def test_pages_have_every_event_and_a_big_one_by_itself(events: list[Event]) -> None:
    """However big and small ones follow each other, all are there, in their order; a big one is never copied."""
    jsons = [encode(event) for event in events]
    pages = [pack(page) for page in pages_of(jsons)]
    found = [json for page in pages for json in unpack(page)]
    assert found == jsons
    for one, other in zip(found, jsons, strict=True):
        assert len(other) < BIG_EVENT_BYTES or one is other
    assert all(len(unpack(page)) == 1 for page in pages if first_size(page) >= BIG_EVENT_BYTES)


@given(st.lists(SIZED, min_size=1))
def test_the_size_of_the_first_event_is_known_without_unpacking(events: list[Event]) -> None:
    """Whoever has no room for one more event can tell before the page is copied."""
    jsons = [encode(event) for event in events]
    for page in map(pack, pages_of(jsons)):
        assert first_size(page) == len(unpack(page)[0])


def test_a_token_takes_its_text_and_little_more() -> None:
    """A page of tokens is a third of its JSON."""
    jsons = [encode(Delta(f" {number:05}")) for number in range(512)]
    assert memory_of(pack(jsons)) < 512 * (6 + 4) + 128


def test_the_weight_counts_every_object() -> None:
    """Where events are kept one by one, each counts with what an object takes besides."""
    jsons = [encode(Delta(str(number), FOUND)) for number in range(10)]
    assert memory_of(pack(jsons)) > sum(map(len, jsons)) + 10 * 33
