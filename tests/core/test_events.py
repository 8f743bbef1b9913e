from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.events import (
    TERMINAL_TYPES,
    Completed,
    Delta,
    Published,
    Usage,
    data_json,
    decode,
    encode,
    message_json,
    type_of,
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
    sent = msgspec.json.decode(data_json(event))
    state = {"state": True} if event.state else {}
    data = msgspec.json.decode(event.data)
    assert sent == {"data": data, "from": event.sender, "at": event.at, **state}
    assert msgspec.json.decode(message_json(event)) == {"type": event.name, **sent}
    assert b"\n" not in message_json(event)


def test_the_wire_form_is_the_documented_one() -> None:
    """Byte for byte: what the page on topics shows."""
    assert data_json(published(b'{"a":1}')) == b'{"data":{"a":1},"from":"key:a","at":1.5}'
    assert data_json(published(state=True)) == b'{"data":1,"from":"key:a","at":1.5,"state":true}'
    assert message_json(published(name="move")) == b'{"type":"move","data":1,"from":"key:a","at":1.5}'
    assert (type_of(published()), type_of(published(name="move"))) == ("message", "move")


def test_an_event_called_completed_ends_nothing() -> None:
    """A client may call its event what it likes; in the log it is still one that was published."""
    kept = encode(published(name="completed"))
    assert kept.startswith(b'{"type":"published",')
    assert not isinstance(decode(kept), TERMINAL_TYPES)


def test_the_events_of_a_generation_are_sent_without_and_with_their_type() -> None:
    """`data` alone for named events, the type inside for clients that only have `onmessage`."""
    assert (data_json(Delta("a")), message_json(Delta("a"))) == (b'{"text":"a"}', b'{"type":"delta","text":"a"}')
    end = Completed("stop", Usage(1, 1, 2))
    assert message_json(end) == encode(end)
    assert type_of(end) == "completed"
