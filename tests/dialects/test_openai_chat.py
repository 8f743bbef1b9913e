"""The body of OpenAI's chat completions."""

from __future__ import annotations

import json

import msgspec
import pytest

from tidegate.core.steps import finished
from tidegate.dialects.openai_chat import parse, parse_on_disconnect
from tidegate.errors import InvalidValue

GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_what_only_upstreams_understand_is_kept_for_them() -> None:
    """Tools and the like are passed on; what tidegate decides itself is not."""
    _, request = finished(
        parse(json.dumps({**GOOD, "tools": [{"type": "function"}], "stream": True, "user": "u"}).encode())
    )
    assert request.extra == {"tools": [{"type": "function"}], "user": "u"}


def test_an_answer_can_be_sent_back_as_it_came() -> None:
    """Fields of messages that only upstreams understand go upstream, and are no error anywhere."""
    messages = [*GOOD["messages"], {"role": "assistant", "content": "x", "reasoning_content": "hm", "audio": None}]
    _, request = finished(parse(json.dumps({**GOOD, "messages": messages}).encode()))
    assert [msgspec.json.decode(raw) for raw in request.raw_messages] == messages
    assert [message.content for message in request.messages] == ["hi", "x"]
    assert finished(parse(json.dumps(GOOD).encode()))[1].raw_messages == ()


def test_both_names_of_the_token_limit_are_understood() -> None:
    """`max_completion_tokens` limits here, and goes upstream under its own name."""
    _, request = finished(parse(json.dumps({**GOOD, "max_completion_tokens": 9}).encode()))
    assert (request.max_tokens, request.extra) == (9, {"max_completion_tokens": 9})


def test_one_stop_text_is_a_list_of_one() -> None:
    """`stop` may be a text or a list."""
    assert finished(parse(json.dumps({**GOOD, "stop": "END"}).encode()))[1].stop == ("END",)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": {}}]}]}, "messages.0.content.0.text"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": {}}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"n": 2}, "n"),
        ({"model": 5}, "model"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ],
)
def test_a_bad_field_is_named_here_too(changes: dict[str, object], param: str) -> None:
    """The same errors as in the native dialect."""
    with pytest.raises(InvalidValue) as caught:
        finished(parse(json.dumps({**GOOD, **changes}).encode()))
    assert caught.value.param == param


def test_an_abandoned_answer_is_cancelled_unless_the_header_says_otherwise() -> None:
    """The header takes `keep`, `cancel` and seconds."""
    assert [parse_on_disconnect(header) for header in (None, "cancel", "keep", "15", "2.5")] == [0, 0, None, 15, 2.5]
    for header in ("", "maybe", "-1", "1e3", "١", "9" * 9):
        with pytest.raises(InvalidValue):
            parse_on_disconnect(header)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "function", "name": "f", "content": None},
        {"role": "function", "name": "f", "content": "4"},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "4"}]},
        {"role": "developer", "content": "be brief", "name": "dev"},
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_id": "x"}}, {"type": "input_audio", "input_audio": {}}],
        },
    ],
)
def test_legal_messages_are_taken_as_they_are(message: dict[str, object]) -> None:
    """What OpenAI's schema allows goes upstream, nulls included."""
    messages = [message, {"role": "user", "content": "hi"}]
    _, request = finished(parse(json.dumps({**GOOD, "messages": messages}).encode()))
    sent = msgspec.json.encode(request.raw_messages or request.messages)
    assert msgspec.json.decode(sent) == messages


def test_metadata_and_stream_options_go_upstream() -> None:
    """Both are ours to read, and the client's to send."""
    body = {**GOOD, "metadata": {"k": "v"}, "stream": True, "stream_options": {"include_usage": True}}
    _, request = finished(parse(json.dumps(body).encode()))
    assert request.extra == {"metadata": {"k": "v"}, "stream_options": {"include_usage": True}}
    assert request.metadata == {"k": "v"}
