from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.events import (
    ENDS,
    TERMINAL_TYPES,
    Cancelled,
    Completed,
    Delta,
    ErrorInfo,
    Event,
    Extra,
    Failed,
    Published,
    Reasoning,
    Started,
    Usage,
    decode,
    encode,
    message_form,
    one_line,
    plain_text,
    wire_form,
)

NAMES = st.one_of(st.sampled_from(["message", "delta", "completed", "failed", "published", "started"]), st.text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
PUBLISHED = st.builds(
    Published,
    name=NAMES.filter(lambda name: name.isprintable()),
    data=JSON.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
    sender=st.sampled_from(["anonymous", "key:ci", 'jwt:https://a.example:"ä"']),
    at=st.integers(0, 2**41).map(lambda ms: ms / 1000),
    state=st.booleans(),
)


def published(data: bytes = b"1", **more: Any) -> Published:
    return Published(data=msgspec.Raw(data), sender="key:a", at=1.5, **more)


@given(PUBLISHED)
def test_what_was_published_is_kept_as_it_was(event: Published) -> None:
    """A log gives back every event as it took it, whatever its name: none is ever taken for another kind."""
    again = decode(encode(event))
    assert again == event
    assert type(again) is Published
    assert not isinstance(again, TERMINAL_TYPES)


@given(PUBLISHED)
def test_what_was_published_is_sent_with_its_sender_and_time(event: Published) -> None:
    """The data of the event is the client's JSON beside `from` and `at`, and `state` where it is one."""
    name, encoded = wire_form(encode(event))
    sent = msgspec.json.decode(encoded)
    state = {"state": True} if event.state else {}
    data = msgspec.json.decode(event.data)
    assert sent == {"data": data, "from": event.sender, "at": event.at, **state}
    assert name.decode() == event.name
    assert msgspec.json.decode(message_form(encode(event))) == {"type": event.name, **sent}
    assert b"\n" not in message_form(encode(event))


def test_the_wire_form_is_the_documented_one() -> None:
    """Byte for byte: what the page on topics shows."""
    assert wire_form(encode(published(b'{"a":1}'))) == (b"message", b'{"data":{"a":1},"from":"key:a","at":1.5}')
    assert wire_form(encode(published(state=True)))[1] == b'{"data":1,"from":"key:a","at":1.5,"state":true}'
    assert message_form(encode(published(name="move"))) == b'{"type":"move","data":1,"from":"key:a","at":1.5}'


BLANKS = st.text(" \t\r\n", max_size=4).map(str.encode)


@given(JSON, BLANKS, BLANKS)
def test_an_event_in_json_is_one_line(value: object, before: bytes, after: bytes) -> None:
    """Whatever an upstream has put between its values, and however it ends its lines, the meaning stays and the line
    breaks go.
    """
    fields = msgspec.json.format(msgspec.json.encode({"a": 1.50, "b": value}), indent=1)
    raw = msgspec.Raw(fields.replace(b"\n", b"\r\n") + before)
    spaced = msgspec.Raw(before + b"{" + after + b"}" + after)
    for event in (Delta("x\n", Extra(chunk=raw, call=spaced)), Completed("stop", Usage(1, 1, 2, details=raw))):
        line = one_line(encode(event))
        assert not {b"\n"[0], b"\r"[0]} & {*line}
        assert msgspec.json.decode(line) == msgspec.json.decode(encode(event))
        assert decode(line)


@given(st.text())
def test_an_event_of_our_own_is_one_line_as_it_is(text: str) -> None:
    """The line breaks of a text are escapes in its JSON."""
    encoded = encode(Delta(text))
    assert one_line(encoded) is encoded


def test_an_event_called_completed_ends_nothing() -> None:
    """A client may call its event what it likes; in the log it is still one that was published."""
    kept = encode(published(name="completed"))
    assert kept.startswith(b'{"type":"published",')
    assert not isinstance(decode(kept), TERMINAL_TYPES)
    assert not kept.startswith(ENDS)


def test_the_events_of_a_generation_are_sent_without_and_with_their_type() -> None:
    """`data` alone for named events, the type inside for clients that only have `onmessage`."""
    assert wire_form(encode(Delta("a"))) == (b"delta", b'{"text":"a"}')
    assert message_form(encode(Delta("a"))) == b'{"type":"delta","text":"a"}'
    end = Completed("stop", Usage(1, 1, 2))
    assert message_form(encode(end)) == encode(end)
    assert wire_form(encode(end))[0] == b"completed"


@pytest.mark.parametrize(
    ("event", "ends"),
    [
        (Completed("stop", Usage(1, 1, 2)), True),
        (Cancelled("client", None, Usage(1, 1, 2)), True),
        (Failed(ErrorInfo("server_error", "interrupted", "x"), Usage(1, 1, 2)), True),
        (Delta('{"type":"completed"'), False),
        (Started("gen_1", "m", 1.0), False),
    ],
)
def test_an_end_is_known_by_its_json(event: Event, ends: bool) -> None:
    """The last event of a log is looked at with every append and read: it is not decoded for that."""
    assert encode(event).startswith(ENDS) is ends is isinstance(event, TERMINAL_TYPES)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_cut_out_of_its_event(text: str) -> None:
    """As it was encoded, whatever it looks like; a delta that has more than text is decoded."""
    for said in (text, text + '","extra":{', '{"type":"delta","text":' + text):
        found = plain_text(encode(Delta(said)))
        assert found is not None
        assert msgspec.json.decode(found) == said
        assert plain_text(encode(Delta(said, Extra(refusal=True)))) is None
        assert plain_text(encode(Reasoning(said))) is None
