"""Events as the native dialect has them over SSE."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Event, Published, Usage
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Reconnect, Subscribed
from tidegate.core.sse import Decoder
from tidegate.dialects.native_events import NativeEvents


def entry(event: Event, offset: int = 13) -> Entry:
    return Entry.of("5k2q", offset, event)


def test_an_event_is_one_block_of_id_event_and_data() -> None:
    """The wire shape is the contract's, to the byte."""
    encoded = NativeEvents().encode(None, [entry(Delta(" world"))], merge=False)
    assert encoded == b'id: 5k2q-13\nevent: delta\ndata: {"text":" world"}\n\n'


def test_what_may_be_merged_is_and_what_may_not_is_not() -> None:
    """The same page of the log goes to a reader that fell behind, and to one that did not."""
    dialect = NativeEvents()
    page = [entry(Delta("a"), 1), entry(Delta("b"), 2)]
    merged = dialect.encode(None, page, merge=True)
    assert merged == b'id: 5k2q-2\nevent: delta\ndata: {"text":"ab"}\n\n'
    assert dialect.encode(None, page, merge=False).count(b"event: delta") == 2


def test_as_messages_the_type_is_inside_the_data() -> None:
    """Clients that only have `onmessage` lose nothing."""
    (event,) = Decoder().feed(NativeEvents(as_message=True).encode(None, [entry(Delta("x"))], merge=False))
    assert (event.event, event.id, json.loads(event.data)) == ("message", "5k2q-13", {"type": "delta", "text": "x"})


@pytest.mark.parametrize("text", ["two\nlines", "\r\n", "data: x\n\n", "\u2028", "\0", "🌊"])
def test_no_text_breaks_out_of_its_event(text: str) -> None:
    """Whatever the model says, it stays one event with that text."""
    said = [entry(Delta(text)), entry(Completed("stop", Usage(1, 1, 2)), 14)]
    events = Decoder().feed(NativeEvents().encode(None, said, merge=False))
    assert [event.event for event in events] == ["delta", "completed"]
    assert json.loads(events[0].data) == {"text": text}


def test_a_gap_is_the_position_the_log_goes_on_from() -> None:
    """Whoever loses the connection after a gap comes back to where it led."""
    (event,) = Decoder().feed(NativeEvents().notice(None, Gap(Cursor("zzzz", 9), Cursor("5k2q", 0))))
    assert (event.event, event.id) == ("gap", "5k2q-0")
    assert json.loads(event.data) == {"from": "zzzz-9", "to": "5k2q-0"}


def test_a_reconnect_tells_event_source_as_well() -> None:
    """`EventSource` knows nothing of our events, but it obeys `retry`."""
    (event,) = Decoder().feed(NativeEvents().notice(None, Reconnect(1500, "draining")))
    assert (event.event, event.retry_ms, json.loads(event.data)["after_ms"]) == ("reconnect", 1500, 1500)


def test_the_preamble_carries_the_retry_and_is_no_event() -> None:
    """The first bytes make an `EventSource` open and set its pace."""
    decoder = Decoder()
    assert decoder.feed(NativeEvents.preamble + NativeEvents.heartbeat) == []
    assert decoder.retry_ms == 1000


SEPARATED = "a\u2028b\u2029c\x85d"


@pytest.mark.parametrize("as_message", [False, True])
@pytest.mark.parametrize(
    "event",
    [
        Delta(SEPARATED),
        Published(name="note", data=Raw(f'["{SEPARATED}"]'.encode()), sender="anna", at=1.0),
    ],
)
def test_no_line_of_an_event_is_broken_by_what_it_says(event: Event, as_message: bool) -> None:
    """Also where published JSON is sent as it came: many readers split at separators that only Unicode knows."""
    block = NativeEvents(as_message=as_message).encode(None, [entry(event)], merge=False).decode()
    assert block.splitlines() == block.split("\n")[:-1]
    (decoded,) = Decoder().feed(block.encode())
    said = json.loads(decoded.data)
    assert said.get("text", said.get("data")) in (SEPARATED, [SEPARATED])


def test_no_line_of_a_notice_is_broken_either() -> None:
    """A topic's state is whatever was published."""
    state = json.dumps(SEPARATED, ensure_ascii=False).encode()
    block = NativeEvents().notice(None, Subscribed(Cursor("a", 1), state)).decode()
    assert block.splitlines() == block.split("\n")[:-1]
    assert json.loads(Decoder().feed(block.encode())[0].data)["state"] == SEPARATED
