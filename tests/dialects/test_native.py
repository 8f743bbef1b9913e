from __future__ import annotations

import json

import pytest
from msgspec import Raw

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Event, Published, Usage
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Reconnect, Subscribed
from tidegate.core.sse import Decoder
from tidegate.core.steps import finished
from tidegate.dialects.native import NativeEvents, parse, parse_cancel
from tidegate.errors import InvalidJson, InvalidValue, TidegateError, UnknownField

GOOD = {"model": "m", "prompt": "hi"}


def entry(event: Event, offset: int = 13) -> Entry:
    return Entry.of("5k2q", offset, event)


def parsed(**changes: object):
    return finished(parse(json.dumps({**GOOD, **changes}).encode()))


def test_a_prompt_is_one_message_of_the_user() -> None:
    """`prompt` and `messages` are two ways to say the same."""
    request = parsed().request()
    assert [(message.role, message.content) for message in request.messages] == [("user", "hi")]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt": None}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None, "messages": []}, "messages"),
        ({"prompt": None, "messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"prompt": None, "messages": [{"role": "user"}]}, "messages.0.content"),
        ({"prompt": None, "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"prompt": None, "messages": [{"content": "x"}]}, "messages.0.role"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"background": 1}, "background"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": "a"}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"on_disconnect": "stay"}, "on_disconnect"),
        ({"on_disconnect": {"grace_seconds": -1}}, "on_disconnect.grace_seconds"),
        ({"batch": {"max_tokens": 0}}, "batch.max_tokens"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"tools": [5]}, "tools.0"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"extra": []}, "extra"),
        ({"extra": {"top_k": 5, "seed": 1}}, "extra.seed"),
        ({"extra": {"tools": []}}, "extra.tools"),
        ({"extra": {"extra": {}}}, "extra.extra"),
        ({"extra": {"producer": "client"}}, "extra.producer"),
        ({"extra": {"stream_options": {}}}, "extra.stream_options"),
    ],
)
def test_a_bad_field_is_named(changes: dict[str, object], param: str) -> None:
    """Every field of the wrong type or out of range is refused, and the error says which one it is."""
    with pytest.raises(InvalidValue) as caught:
        parsed(**changes)
    assert caught.value.param == param


def test_what_only_an_upstream_understands_is_passed_on() -> None:
    """Tools, and what stands in `extra`, reach the provider as they are; what is not given does not."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = parsed(tools=tools, tool_choice="auto", extra={"top_k": 5, "x": None}).request()
    assert request.extra == {"tools": tools, "tool_choice": "auto", "top_k": 5, "x": None}
    assert parsed(response_format={"type": "json_object"}).request().extra == {
        "response_format": {"type": "json_object"}
    }
    assert parsed().request().extra == {}


@pytest.mark.parametrize(("changes", "param"), [({"promt": "x"}, "promt"), ({"batch": {"size": 1}}, "batch.size")])
def test_an_unknown_field_is_named(changes: dict[str, object], param: str) -> None:
    """A typo is an error, not a default."""
    with pytest.raises(UnknownField) as caught:
        parsed(**changes)
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nonsense", b"\xff", b'{"model": "\xff"}', b"[" * 100_000])
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    """Whatever the bytes are, the answer is a typed 400."""
    with pytest.raises(TidegateError) as caught:
        finished(parse(body))
    assert isinstance(caught.value, InvalidJson | InvalidValue)


@pytest.mark.parametrize(
    ("changes", "grace"),
    [
        ({"stream": True}, 60),
        ({}, 0),
        ({"background": True}, None),
        ({"background": True, "stream": True}, None),
        ({"on_disconnect": "keep"}, None),
        ({"stream": True, "on_disconnect": "cancel"}, 0),
        ({"background": True, "on_disconnect": {"grace_seconds": 2.5}}, 2.5),
    ],
)
def test_what_a_departure_means_depends_on_the_call(changes: dict[str, object], grace: float | None) -> None:
    """Streamed answers wait a minute for their reader, whole ones end with it, background ones never do."""
    assert parsed(**changes).grace() == grace


def test_a_cancel_needs_no_body() -> None:
    """The reason is optional, and so is the body."""
    assert parse_cancel(b"").reason is None
    assert parse_cancel(b'{"reason": "bored"}').reason == "bored"


def test_an_event_is_one_block_of_id_event_and_data() -> None:
    """The wire shape is the contract's, to the byte."""
    encoded = NativeEvents().entries([entry(Delta(" world"))])
    assert encoded == b'id: 5k2q-13\nevent: delta\ndata: {"text":" world"}\n\n'


def test_an_event_is_encoded_once_for_all_its_readers() -> None:
    """A thousand readers of one event share its bytes; other entries get their own."""
    encoder = NativeEvents()
    page = [entry(Delta("a"), 1), entry(Delta("b"), 2)]
    once = encoder.entries(page)
    assert encoder.entries(page) is once
    assert encoder.entries([*page, entry(Delta("c"), 3)]) != once
    assert encoder.entries(page[:1]) != once
    assert encoder.entries(list(page)) == once


def test_as_messages_the_type_is_inside_the_data() -> None:
    """Clients that only have `onmessage` lose nothing."""
    (event,) = Decoder().feed(NativeEvents(as_message=True).entries([entry(Delta("x"))]))
    assert (event.event, event.id, json.loads(event.data)) == ("message", "5k2q-13", {"type": "delta", "text": "x"})


@pytest.mark.parametrize("text", ["two\nlines", "\r\n", "data: x\n\n", "\u2028", "\0", "🌊"])
def test_no_text_breaks_out_of_its_event(text: str) -> None:
    """Whatever the model says, it stays one event with that text."""
    events = Decoder().feed(NativeEvents().entries([entry(Delta(text)), entry(Completed("stop", Usage(1, 1, 2)), 14)]))
    assert [event.event for event in events] == ["delta", "completed"]
    assert json.loads(events[0].data) == {"text": text}


def test_a_gap_is_the_position_the_log_goes_on_from() -> None:
    """Whoever loses the connection after a gap comes back to where it led."""
    (event,) = Decoder().feed(NativeEvents().notice(Gap(Cursor("zzzz", 9), Cursor("5k2q", 0))))
    assert (event.event, event.id) == ("gap", "5k2q-0")
    assert json.loads(event.data) == {"from": "zzzz-9", "to": "5k2q-0"}


def test_a_reconnect_tells_event_source_as_well() -> None:
    """`EventSource` knows nothing of our events, but it obeys `retry`."""
    (event,) = Decoder().feed(NativeEvents().notice(Reconnect(1500, "draining")))
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
    block = NativeEvents(as_message=as_message).entries([entry(event)]).decode()
    assert block.splitlines() == block.split("\n")[:-1]
    (decoded,) = Decoder().feed(block.encode())
    said = json.loads(decoded.data)
    assert said.get("text", said.get("data")) in (SEPARATED, [SEPARATED])


def test_no_line_of_a_notice_is_broken_either() -> None:
    """A topic's state is whatever was published."""
    state = json.dumps(SEPARATED, ensure_ascii=False).encode()
    block = NativeEvents().notice(Subscribed(Cursor("a", 1), state)).decode()
    assert block.splitlines() == block.split("\n")[:-1]
    assert json.loads(Decoder().feed(block.encode())[0].data)["state"] == SEPARATED
