from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    ErrorInfo,
    Event,
    Failed,
    Reasoning,
    Started,
    ToolCall,
    Usage,
)
from tidegate.core.fold import FoldedToolCall, Snapshot
from tidegate.core.log import Entry
from tidegate.dialects.openai_chat import ChatChunks, parse, parse_on_disconnect, whole
from tidegate.errors import GenerationCancelled, InvalidValue, TidegateError

USAGE = Usage(3, 2, 5)
GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def encoded(*events: Event, include_usage: bool = False) -> bytes:
    chunks = ChatChunks("gen_1", "m", 7.5, include_usage=include_usage)
    return chunks.entries([Entry("aaaa", index + 1, event) for index, event in enumerate(events)])


def data(*events: Event, include_usage: bool = False) -> list[Any]:
    blocks = encoded(*events, include_usage=include_usage).decode().split("\n\n")[:-1]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block[6:] if block == "data: [DONE]" else json.loads(block[6:]) for block in blocks]


def snapshot(**changes: object) -> Snapshot:
    fields: dict[str, object] = {
        "id": "gen_1", "model": "m", "status": "completed", "queue_position": None, "finish_reason": "stop",
        "usage": USAGE, "error": None, "cursor": "aaaa-4", "created_at": 7.5, "ended_at": 8.0, "metadata": {},
        "text": "Hello", "reasoning": "", "tool_calls": [], **changes,
    }  # fmt: skip
    return Snapshot(**fields)  # type: ignore[arg-type]


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
    chunks = ChatChunks("gen_1", model, 7.5, include_usage=include_usage)
    chunk = json.loads(chunks.entries([Entry("aaaa", 1, Delta('say "hé"\n'))])[6:])
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
    assert ChatChunks.preamble == b""
    assert ChatChunks.heartbeat.startswith(b":")
    assert ChatChunks.heartbeat.count(b"\n") == 1


def test_a_whole_answer_has_message_reason_and_usage() -> None:
    """The shape is that of OpenAI's `chat.completion`."""
    answer = whole(snapshot())
    assert answer.choices[0].message.content == "Hello"
    assert (answer.choices[0].finish_reason, answer.usage.total_tokens) == ("stop", 5)


def test_a_whole_answer_of_tool_calls_has_no_content() -> None:
    """`content` is null where the model only calls tools."""
    answer = whole(snapshot(text="", finish_reason="tool_calls", tool_calls=[FoldedToolCall(0, "a", "f", "{}")]))
    message = answer.choices[0].message
    assert message.content is None
    assert message.tool_calls == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_a_failed_answer_is_its_failure() -> None:
    """What broke is raised, with the status of its code; what was cancelled is a conflict."""
    error = ErrorInfo("upstream_error", "upstream_timeout", "late")
    with pytest.raises(TidegateError) as caught:
        whole(snapshot(status="failed", finish_reason=None, error=error))
    assert (caught.value.status, caught.value.code) == (504, "upstream_timeout")
    with pytest.raises(GenerationCancelled):
        whole(snapshot(status="cancelled", finish_reason=None))


def test_what_only_upstreams_understand_is_kept_for_them() -> None:
    """Tools and the like are passed on; what tidegate decides itself is not."""
    _, request = parse(json.dumps({**GOOD, "tools": [{"type": "function"}], "stream": True, "user": "u"}).encode())
    assert request.extra == {"tools": [{"type": "function"}], "user": "u"}


def test_an_answer_can_be_sent_back_as_it_came() -> None:
    """Fields of messages that only upstreams understand go upstream, and are no error anywhere."""
    messages = [*GOOD["messages"], {"role": "assistant", "content": "x", "reasoning_content": "hm", "audio": None}]
    _, request = parse(json.dumps({**GOOD, "messages": messages}).encode())
    assert request.raw_messages == tuple(messages)
    assert [message.content for message in request.messages] == ["hi", "x"]
    assert parse(json.dumps(GOOD).encode())[1].raw_messages == ()


def test_both_names_of_the_token_limit_are_understood() -> None:
    """`max_completion_tokens` limits here, and goes upstream under its own name."""
    _, request = parse(json.dumps({**GOOD, "max_completion_tokens": 9}).encode())
    assert (request.max_tokens, request.extra) == (9, {"max_completion_tokens": 9})


def test_one_stop_text_is_a_list_of_one() -> None:
    """`stop` may be a text or a list."""
    assert parse(json.dumps({**GOOD, "stop": "END"}).encode())[1].stop == ("END",)


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
        parse(json.dumps({**GOOD, **changes}).encode())
    assert caught.value.param == param


def test_an_abandoned_answer_is_cancelled_unless_the_header_says_otherwise() -> None:
    """The header takes `keep`, `cancel` and seconds."""
    assert [parse_on_disconnect(header) for header in (None, "cancel", "keep", "15", "2.5")] == [0, 0, None, 15, 2.5]
    for header in ("", "maybe", "-1", "1e3", "١", "9" * 9):
        with pytest.raises(InvalidValue):
            parse_on_disconnect(header)
