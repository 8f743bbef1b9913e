"""What of a body is read, what is only passed on, and how much there may be of either."""

from __future__ import annotations

import gc
import json
from typing import Any

import msgspec
import pytest

from tidegate.core.events import GenerationRequest
from tidegate.core.json_text import MAX_VALUES, MAX_VALUES_IN_ALL
from tidegate.core.steps import finished
from tidegate.dialects import native, native_producer, native_topic, openai_chat
from tidegate.dialects.fields import MAX_READ
from tidegate.errors import InvalidJson, InvalidValue, TidegateError

MANY = [0] * (MAX_VALUES + 1)
HI = {"role": "user", "content": "hi"}


def asked(body: dict[str, Any]) -> GenerationRequest:
    return finished(native.parse(json.dumps(body).encode())).request()


def asked_openai(body: dict[str, Any]) -> GenerationRequest:
    return finished(openai_chat.parse(json.dumps(body).encode()))[1]


@pytest.mark.parametrize("name", ["extra", "tool_choice", "response_format", "tools"])
def test_what_is_only_passed_on_may_have_many_values(name: str) -> None:
    """A schema of 100,000 values is the upstream's business."""
    value: Any = [{"x": MANY}] if name == "tools" else {"x": MANY}
    request = asked({"model": "m", "prompt": "x", name: value})
    assert request.extra == (value if name == "extra" else {name: value})
    assert asked_openai({"model": "m", "messages": [HI], name: value}).extra == {name: value}


def test_messages_may_say_much_that_is_only_passed_on() -> None:
    """Of a message's fields that only an upstream understands, and of its content's parts, nothing is made."""
    messages = [{"role": "user", "content": [{"type": "x", "x": MANY}], "embedding": MANY}]
    request = asked_openai({"model": "m", "messages": messages})
    assert [msgspec.json.decode(raw) for raw in request.raw_messages] == messages
    assert request.messages[0].content == messages[0]["content"]


def test_what_is_kept_is_bytes() -> None:
    """A request with a hundred thousand lists in it holds no list."""
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"a":[%b[]]}]}' % (b"[]," * 100_000)
    before = len(gc.get_objects())
    request = finished(openai_chat.parse(body))[1]
    assert len(gc.get_objects()) - before < 1000
    assert len(request.extra.raw["tools"]) > 300_000


def test_a_few_bytes_do_not_keep_the_body() -> None:
    """What is kept of a body that is mostly something else is a copy."""
    body = b'{"model":"m","prompt":"x"%b}' % (b" " * 1_000_000)
    kept = memoryview(finished(native.parse(body)).prompt)
    assert not isinstance(kept.obj, bytes) or len(kept.obj) < 100


ASKED = b'{"model":"m","prompt":"x","%b":%b}'
TALK = b'{"model":"m","messages":[{"role":"assistant","%b":%b}]}'
LISTS = b"[%b{}]" % (b"{}," * MAX_VALUES)
MEMBERS = b'{%b"b":1}' % (b'"a":1,' * (MAX_VALUES + 1))
BOMBS: dict[str, tuple[Any, bytes]] = {
    "all of it": (native, ASKED % (b"extra", b'{"a":[%b0]}' % (b"0," * MAX_VALUES_IN_ALL))),
    "members": (native, MEMBERS),
    "members for OpenAI": (openai_chat, MEMBERS),
    "members of extra": (native, ASKED % (b"extra", MEMBERS)),
    "an unknown field": (native, ASKED % (b"y", LISTS)),
    "tools": (native, ASKED % (b"tools", LISTS)),
    "stop": (openai_chat, ASKED % (b"stop", LISTS)),
    "messages": (native, b'{"model":"m","messages":%b}' % LISTS),
    "fields of messages": (openai_chat, b'{"model":"m","messages":[%b]}' % MEMBERS),
    "parts": (openai_chat, TALK % (b"content", LISTS)),
    "calls": (openai_chat, TALK % (b"tool_calls", LISTS)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_objects_are_made_of_is_counted_first(name: str) -> None:
    """The error says what there is too much of."""
    dialect, body = BOMBS[name]
    with pytest.raises(InvalidJson, match="has more than"):
        finished(dialect.parse(body))


def test_what_is_appended_or_published_is_counted_as_a_whole() -> None:
    """Nothing in it is only passed on."""
    many = b"[%b0]" % (b"0," * MAX_VALUES)
    with pytest.raises(InvalidJson, match="more than 50000 values"):
        finished(native_producer.parse_append(b'{"lease":"l","expected_offset":1,"events":%b}' % many))
    with pytest.raises(InvalidJson, match="more than 50000 values"):
        finished(native_topic.parse(b'{"data":%b}' % many))
    fewer = b"[%b0]" % (b"0," * (MAX_VALUES - 4))
    assert bytes(finished(native_topic.parse(b'{"data":%b}' % fewer)).data) == fewer


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": "m" * MAX_READ}, "model"),
        ({"stop": ["x" * MAX_READ]}, "stop"),
        ({"messages": [{**HI, "name": "x" * MAX_READ}]}, "messages.0"),
        ({"messages": [HI] * 10_001}, "messages"),
        ({"stop": "x" * 257}, "stop"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"x": 10**400}, None),
    ],
)
def test_what_is_read_is_short(changes: dict[str, Any], param: str | None) -> None:
    """It is decoded in one piece, and kept with the stream: the limits of metadata hold for OpenAI's clients, too."""
    with pytest.raises(InvalidValue) as caught:
        asked_openai({"model": "m", "messages": [HI], **changes})
    assert caught.value.param == param


def test_an_event_is_no_longer_than_readers_can_be_sent_at_once() -> None:
    """What is appended may be long, in pieces."""
    piece = {"type": "delta", "data": {"text": "x" * 3_000_000}}
    body = {"lease": "l", "expected_offset": 1, "events": [piece, piece]}
    assert len(finished(native_producer.parse_append(json.dumps(body).encode()))[1]) == 2
    body["events"] = [piece, {"type": "delta", "data": {"text": "x" * native_producer.MAX_EVENT_BYTES}}]
    with pytest.raises(InvalidValue) as caught:
        finished(native_producer.parse_append(json.dumps(body).encode()))
    assert caught.value.param == "events.1"


@pytest.mark.parametrize("dialect", [native, openai_chat])
@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b"\xff", b'{"model":"m","messages":5}', b'{"messages":[5]}'])
def test_what_is_no_request_is_refused(dialect: Any, body: bytes) -> None:
    """Typed, whatever it is."""
    with pytest.raises(TidegateError):
        finished(dialect.parse(body))
