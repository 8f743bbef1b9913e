"""Whole answers of OpenAI's chat completions."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    ErrorInfo,
    Event,
    Extra,
    Failed,
    Reasoning,
    Terminal,
    ToolCall,
    Usage,
)
from tidegate.core.log import Entry
from tidegate.dialects.accumulate import added, begun, told
from tidegate.dialects.openai_chat_whole import ChatCompletion, WholeAnswer
from tidegate.errors import GenerationCancelled, TidegateError

USAGE = Usage(3, 2, 5)
STOPPED = Completed("stop", USAGE)


def raw(fields: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(fields))


def whole(*events: Event, end: Terminal | None = STOPPED) -> dict[str, Any]:
    answer = WholeAnswer()
    for offset, event in enumerate(events):
        answer.add([Entry.of("aaaa", offset + 2, event)])
    return msgspec.json.decode(msgspec.json.encode(answer.answer("gen_1", "m", 7.5, end)))


def test_a_whole_answer_has_message_reason_and_usage() -> None:
    """The shape is that of OpenAI's `chat.completion`."""
    answer = msgspec.convert(whole(Delta("Hel"), Delta("lo")), ChatCompletion)
    assert (answer.id, answer.created, answer.model) == ("chatcmpl-1", 7, "m")
    assert answer.choices[0].message.content == "Hello"
    assert (answer.choices[0].finish_reason, answer.usage.total_tokens) == ("stop", 5)


def test_a_whole_answer_of_tool_calls_has_no_content() -> None:
    """`content` is null where the model only calls tools."""
    message = whole(ToolCall(0, "a", "f", "{"), ToolCall(0, arguments="}"))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_a_failed_answer_is_its_failure() -> None:
    """What broke is raised, with the status of its code; what was cancelled is a conflict."""
    with pytest.raises(TidegateError) as caught:
        whole(end=Failed(ErrorInfo("upstream_error", "upstream_timeout", "late"), USAGE))
    assert (caught.value.status, caught.value.code) == (504, "upstream_timeout")
    with pytest.raises(GenerationCancelled):
        whole(end=Cancelled("client", None, USAGE))


def test_what_came_in_pieces_beside_the_text_is_put_together() -> None:
    """Log probabilities are one list, reasoning details are one for each index, the last fingerprint counts."""
    one = Extra(raw({"system_fingerprint": "a"}), raw({"logprobs": {"content": [1], "refusal": None}}))
    two = Extra(raw({"system_fingerprint": "b"}), raw({"logprobs": {"content": [2], "refusal": None}}))
    thought = [
        Extra(delta=raw({"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": text}]})) for text in "xy"
    ]
    answer = whole(Reasoning("x", thought[0]), Reasoning("y", thought[1]), Delta("H", one), Delta("i", two))
    assert answer["system_fingerprint"] == "b"
    assert answer["choices"][0]["logprobs"] == {"content": [1, 2], "refusal": None}
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hi", "xy")
    assert message["reasoning_details"] == [{"index": 0, "type": "reasoning.text", "text": "xy"}]


def test_a_refusal_is_no_content() -> None:
    """It stands where OpenAI has it."""
    message = whole(Delta("No", Extra(refusal=True)), Delta(".", Extra(refusal=True)))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "No.")


def test_a_function_call_is_one_here_too() -> None:
    """Whoever sends `functions` waits for `function_call`."""
    legacy = Extra(call=raw({"type": "function_call"}))
    choice = whole(ToolCall(0, "call_1", "f", "{}", legacy), end=Completed("tool_calls", USAGE))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("known", "more", "sum_"),
    [
        (None, "a", "a"),
        ("a", None, "a"),
        ("a", "b", "ab"),
        ([1], [2], [1, 2]),
        ({"id": "x", "n": 1}, {"id": "x", "n": 2}, {"id": "x", "n": 2}),
        ([{"index": 0, "t": "a"}], [{"index": 0, "t": "b"}, {"index": 1}], [{"index": 0, "t": "ab"}, {"index": 1}]),
        ([1], "a", "a"),
    ],
)  # fmt: skip
def test_fields_add_up_as_in_the_official_sdks(known: object, more: object, sum_: object) -> None:
    """Texts and lists go on, objects field by field, everything else is what it was last."""
    assert told(added(begun(known), more)) == sum_


def test_a_long_answer_adds_up_in_the_time_of_its_pieces() -> None:
    """Ten thousand log probabilities are put together one after the other; none is looked at again."""
    sum_ = begun({"content": [], "text": ""})
    began = time.thread_time()
    for n in range(10_000):
        sum_ = added(sum_, {"content": [{"token": "x", "logprob": -n}], "text": "x" * 100})
    assert time.thread_time() - began < 0.5
    found = told(sum_)
    assert isinstance(found, dict)
    assert (len(found["content"]), len(found["text"])) == (10_000, 1_000_000)
