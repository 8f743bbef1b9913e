"""Streamed answers of OpenAI's chat completions."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.cursor import Cursor
from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    ErrorInfo,
    Event,
    Extra,
    Failed,
    Reasoning,
    Started,
    ToolCall,
    Usage,
)
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.dialects.openai_chat_chunks import ChatChunks, ChatState

USAGE = Usage(3, 2, 5)


def logged(*events: Event) -> list[Entry]:
    return [Entry.of("aaaa", index + 1, event) for index, event in enumerate(events)]


def started(chunks: ChatChunks, model: str = "m") -> ChatState:
    state = chunks.begin()
    chunks.skip(state, logged(Started("gen_1", model, 7.5)))
    return state


def encoded(*events: Event, include_usage: bool = False) -> bytes:
    chunks = ChatChunks(include_usage)
    return chunks.encode(started(chunks), logged(*events), merge=False)


def data(*events: Event, include_usage: bool = False) -> list[Any]:
    blocks = encoded(*events, include_usage=include_usage).decode().split("\n\n")[:-1]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block[6:] if block == "data: [DONE]" else json.loads(block[6:]) for block in blocks]


def test_a_streamed_answer_is_chunks_and_done() -> None:
    """Role first, then the pieces, then why it stopped, then `[DONE]`; nothing an SDK would raise on."""
    first, piece, last, done = data(Started("gen_1", "m", 7.5), Delta("Hi"), Completed("stop", USAGE))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert piece["choices"][0] == {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert done == "[DONE]"
    assert {chunk["id"] for chunk in (first, piece, last)} == {"chatcmpl-1"}
    assert (first["object"], first["created"], "usage" in first) == ("chat.completion.chunk", 7, False)


@pytest.mark.parametrize("model", ["m", '""', '"content":""', "\\", "é"])
@pytest.mark.parametrize("include_usage", [False, True])
def test_a_delta_is_a_chunk_whatever_the_model_is_called(model: str, include_usage: bool) -> None:
    """The bytes around a text are made once for a stream; no name of a model can stand in their way."""
    chunks = ChatChunks(include_usage)
    chunk = json.loads(chunks.encode(started(chunks, model), logged(Delta('say "hé"\n')), merge=False)[6:])
    assert chunk["model"] == model
    assert chunk["choices"] == [{"index": 0, "delta": {"content": 'say "hé"\n'}, "finish_reason": None}]


def test_no_line_of_a_chunk_is_broken_by_what_it_says() -> None:
    """Readers that split lines at separators that only Unicode knows get whole ones."""
    said = encoded(Delta("a\u2028b\u2029c\x85d"), Completed("stop", USAGE)).decode()
    assert said.splitlines() == said.split("\n")[:-1]
    assert json.loads(said.splitlines()[0][6:])["choices"][0]["delta"]["content"] == "a\u2028b\u2029c\x85d"


def test_usage_comes_last_where_it_was_asked_for() -> None:
    """`include_usage` adds one chunk without choices, and a null to every other."""
    piece, _, usage, _ = data(Delta("Hi"), Completed("stop", USAGE), include_usage=True)
    assert piece["usage"] is None
    assert (usage["choices"], usage["usage"]) == ([], {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})


def test_tool_calls_and_reasoning_keep_their_shape() -> None:
    """Fragments are passed on as they came: id and name once, arguments in pieces."""
    thought, head, tail = data(Reasoning("hm"), ToolCall(0, "call_1", "look", ""), ToolCall(0, arguments="{}"))
    assert thought["choices"][0]["delta"] == {"reasoning_content": "hm"}
    assert head["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    ]
    assert tail["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "{}"}}]


@pytest.mark.parametrize(
    "end", [Failed(ErrorInfo("upstream_error", "upstream_timeout", "late"), USAGE), Cancelled("client", None, USAGE)]
)
def test_an_answer_that_breaks_off_ends_in_an_error_not_in_done(end: Event) -> None:
    """An SDK must raise, not take half an answer for a whole one."""
    (last,) = data(end)
    assert set(last) == {"error"}
    assert last["error"]["code"] in ("upstream_timeout", "cancelled")


def test_there_is_nothing_that_official_sdks_choke_on() -> None:
    """No ids, no retry, no block that is only a comment: the heartbeat is glued to what follows."""
    everything = encoded(Started("gen_1", "m", 7.5), Delta("x"), Completed("stop", USAGE), include_usage=True)
    assert not any(line.startswith((b"id:", b"retry:", b"event:", b":")) for line in everything.split(b"\n"))
    chunks = ChatChunks(include_usage=False)
    assert chunks.preamble == b""
    assert chunks.heartbeat.startswith(b":")
    assert chunks.heartbeat.count(b"\n") == 1


def raw(fields: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(fields))


def test_what_stands_beside_a_piece_is_told_where_it_stood() -> None:
    """Log probabilities stand in the choice, annotations in the delta, a fingerprint here and in all later chunks."""
    extra = Extra(raw({"system_fingerprint": "fp"}), raw({"logprobs": {"content": []}}), raw({"annotations": [1]}))
    first, second, *_ = data(Delta("a", extra), Delta("b"), Completed("stop", USAGE))
    assert first["choices"][0]["logprobs"] == {"content": []}
    assert first["choices"][0]["delta"] == {"annotations": [1], "content": "a"}
    assert second["choices"][0] == {"index": 0, "delta": {"content": "b"}, "finish_reason": None}
    assert first["system_fingerprint"] == second["system_fingerprint"] == "fp"


def test_a_refusal_is_told_as_one() -> None:
    """SDKs know a refusal from an answer."""
    (chunk,) = data(Delta("No.", Extra(refusal=True)))
    assert chunk["choices"][0]["delta"] == {"refusal": "No."}


def test_usage_has_what_else_was_counted_and_says_where_it_is_an_estimate() -> None:
    """Details stand where OpenAI has them."""
    counted = Usage(3, 2, 5, details=raw({"prompt_tokens_details": {"cached_tokens": 2}}))
    *_, usage, _ = data(Completed("stop", counted), include_usage=True)
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    *_, usage, _ = data(Completed("stop", Usage(3, 2, 5, estimated=True)), include_usage=True)
    assert usage["usage"]["estimated"] is True


def test_a_function_call_is_told_in_the_form_it_came_in() -> None:
    """Whoever sends `functions` waits for `function_call`, and a finish reason of that name."""
    legacy = Extra(call=raw({"type": "function_call"}))
    head, tail, last, _ = data(
        ToolCall(0, "call_1", "f", "", legacy), ToolCall(0, arguments="{}"), Completed("tool_calls", USAGE)
    )
    assert head["choices"][0]["delta"] == {"function_call": {"name": "f", "arguments": ""}}
    assert tail["choices"][0]["delta"] == {"function_call": {"arguments": "{}"}}
    assert last["choices"][0]["finish_reason"] == "function_call"


def test_a_custom_call_keeps_its_kind_and_a_call_its_other_fields() -> None:
    """Its input is text; a signature that has to be sent back is there to be sent."""
    custom = Extra(call=raw({"type": "custom"}))
    head, tail, signed = data(
        ToolCall(0, "a", "sh", "l", custom),
        ToolCall(0, arguments="s"),
        ToolCall(1, "b", "f", "{}", Extra(call=raw({"extra_content": {"signature": "x"}}))),
    )
    assert head["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}}
    ]
    assert tail["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "custom": {"input": "s"}}]
    assert signed["choices"][0]["delta"]["tool_calls"][0]["extra_content"] == {"signature": "x"}


STORY = (
    Started("gen_1", "m", 7.5),
    Delta("a", Extra(raw({"system_fingerprint": "fp"}))),
    Delta("b"),
    ToolCall(0, "call_1", "f", "", Extra(call=raw({"type": "function_call"}))),
    ToolCall(0, arguments="{}"),
    ToolCall(1, "call_2", "sh", "l", Extra(call=raw({"type": "custom"}))),
    Delta("c", Extra(raw({"service_tier": "default"}), raw({"logprobs": None}))),
    ToolCall(1, arguments="s"),
    Reasoning("hm"),
    Delta("d"),
    Delta("e"),
    Completed("tool_calls", USAGE),
)


@given(st.integers(0, len(STORY)), st.integers(0, len(STORY)))
def test_who_joins_in_the_middle_is_told_the_rest_as_anybody(joins: int, leaves: int) -> None:
    """What earlier pieces have said of all chunks, and of calls that go on, holds for who has not been sent them."""
    chunks = ChatChunks(include_usage=True)
    log, state = logged(*STORY), chunks.begin()
    chunks.encode(state, log[:joins], merge=True)
    late = chunks.begin()
    chunks.skip(late, log[: min(leaves, joins)])
    chunks.skip(late, log[min(leaves, joins) : joins])
    assert late == state
    rest = chunks.encode(chunks.fork(late), log[joins:], merge=False)
    assert rest == chunks.encode(state, log[joins:], merge=False)
    assert chunks.encode(chunks.begin(), log, merge=False).endswith(rest)
    assert late == chunks.fork(late)


def test_after_a_gap_chunks_are_as_at_the_beginning() -> None:
    """A gap leads to where the log begins: nothing that was said before it holds."""
    chunks = ChatChunks(include_usage=False)
    state = chunks.begin()
    chunks.skip(state, logged(*STORY))
    assert set(json.loads(chunks.notice(state, Gap(Cursor("zzzz", 9), Cursor("aaaa", 0)))[6:])) == {"error"}
    assert state == chunks.begin()
