from __future__ import annotations

import json

import pytest

from tidegate.core.events import Event
from tidegate.core.log import Entry
from tidegate.core.steps import finished
from tidegate.dialects.native import parse, parse_cancel
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
