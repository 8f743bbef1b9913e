"""The reader of chat completion chunks: bytes in, events out."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.events import Completed, Content, Delta, Extra, Reasoning, ToolCall, Usage
from tidegate.errors import ProviderError, UpstreamInterrupted, UpstreamMalformed, UpstreamRefused
from tidegate.providers.openai.chunks import MAX_EXTRA_BYTES, MAX_LINES, ChunkReader
from tidegate.providers.openai.errors import refusal_in_body
from tidegate.providers.openai.lasting import MAX_LASTING_BYTES
from tidegate.testing.upstream import chunk, event, usage

DONE = b"data: [DONE]\n\n"


def reader() -> ChunkReader:
    return ChunkReader(lambda said: refusal_in_body(said, ()), lambda: 5, make_id=lambda: "made")


def read(*parts: bytes) -> list[Content | Completed]:
    chunks = reader()
    events = [event for part in parts for event in chunks.feed(part)]
    assert chunks.error is None
    return events


ANSWER = b"".join(
    [
        b"\xef\xbb\xbf: welcome\n\n",
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm… "}),
        chunk({"content": "Grüße, "}),
        b": keep-alive\n\n",
        chunk({"content": "世界 \U0001f30a"}),
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "look", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at":"ü"}'}}]}),
        chunk({}, "tool_calls"),
        usage(7, 5),
        DONE,
        chunk({"content": "too late"}),
    ]
)
EVENTS = [
    Reasoning("hm… "),
    Delta("Grüße, "),
    Delta("世界 \U0001f30a"),
    ToolCall(0, "call_1", "look", ""),
    ToolCall(0, None, None, '{"at":"ü"}'),
    Completed("tool_calls", Usage(7, 5, 12)),
]


@given(cuts=st.lists(st.integers(0, len(ANSWER))), line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_chunking_and_any_line_end_give_the_same_events(cuts: list[int], line_end: bytes) -> None:
    """Where the network cuts an answer, in a character, a line end or an event, changes nothing."""
    stream = ANSWER.replace(b"\n", line_end)
    edges = [0, *sorted(cuts), len(stream)]
    assert read(*(stream[a:b] for a, b in itertools.pairwise(edges))) == EVENTS


@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_never_raise(data: bytes) -> None:
    """An upstream can send what it likes: it ends the answer with a typed error at the worst."""
    chunks = reader()
    chunks.feed(b"data: " + data + b"\n\n")
    assert chunks.error is None or isinstance(chunks.error, ProviderError)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons_are_mapped(theirs: str, ours: str) -> None:
    """Every upstream's finish reason becomes one of the four that tidegate has."""
    assert read(chunk({}, theirs), usage(1, 0), DONE) == [Completed(ours, Usage(1, 0, 1))]  # type: ignore[arg-type]


def test_an_empty_finish_reason_is_none() -> None:
    """Servers that send `finish_reason: ""` on every chunk are not taken to have finished."""
    chunks = reader()
    chunks.feed(chunk({"content": "a"}, ""))
    assert not chunks.finishing


def test_chunks_without_content_bring_nothing() -> None:
    """Roles, nulls and empty texts are no tokens."""
    assert read(chunk({"role": "assistant"}), chunk({"content": None}), chunk({"content": ""}), event({})) == []


def test_reasoning_has_two_names_and_is_told_once() -> None:
    """`reasoning` and `reasoning_content` are the same thing, also where a proxy sends both."""
    assert read(chunk({"reasoning": "a"})) == [Reasoning("a")]
    assert read(chunk({"reasoning": "a", "reasoning_content": "a"})) == [Reasoning("a")]


def test_a_refusal_is_the_answers_text() -> None:
    """What the model says in place of an answer is shown, and known for what it is."""
    assert read(chunk({"refusal": "I cannot."})) == [Delta("I cannot.", Extra(refusal=True))]


def test_a_function_call_is_a_tool_call() -> None:
    """The older form of tool calls reads the same."""
    assert read(chunk({"function_call": {"name": "f", "arguments": "{}"}})) == [
        ToolCall(0, "made", "f", "{}", Extra(call=msgspec.Raw(b'{"type":"function_call"}')))
    ]


def test_only_the_first_choice_is_the_answer() -> None:
    """With `n` above 1 the other choices are left out, never mixed in."""
    choices = [
        {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"},
        {"index": 0, "delta": {"content": "a"}},
    ]
    chunks = reader()
    assert chunks.feed(event({"choices": choices})) == [Delta("a")]
    assert not chunks.finishing


def test_the_last_usage_counts() -> None:
    """Upstreams that count along, or in the chunk that finishes, are believed at their last word."""
    counting = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}})
    assert read(counting, usage(7, 3), DONE) == [Completed("stop", Usage(7, 3, 10))]


@pytest.mark.parametrize("sent", [b"", event({"choices": [], "usage": None}), event({"usage": {}})])
def test_usage_is_estimated_where_the_upstream_sends_none(sent: bytes) -> None:
    """A piece is a token then, and the estimate says that it is one."""
    events = read(chunk({"content": "a"}), chunk({"content": "b"}, "stop"), sent, DONE)
    assert events[-1] == Completed("stop", Usage(5, 2, 7, estimated=True))


def test_an_answer_may_end_without_done() -> None:
    """A finish reason is an end, whether or not `[DONE]` follows."""
    chunks = reader()
    chunks.feed(chunk({"content": "a"}, "length") + usage(3, 1))
    assert chunks.end() == [Completed("length", Usage(3, 1, 4))]


def test_an_answer_that_breaks_off_is_interrupted() -> None:
    """The end of the body in mid-answer is never taken for success."""
    chunks = reader()
    chunks.feed(chunk({"content": "a"}))
    assert chunks.end() == []
    assert isinstance(chunks.error, UpstreamInterrupted)


@pytest.mark.parametrize(
    ("sent", "message", "status"),
    [
        (event({"error": {"message": "overloaded", "type": "t", "code": "c"}}), "overloaded", 502),
        (event({"error": {"message": "slow down", "code": 429}}), "slow down", 429),
        (event({"error": "no memory"}), "no memory", 502),
        (event({"object": "error", "message": "too long", "code": 400}), "too long", 400),
        (b'event: error\ndata: {"message": "gone"}\n\n', "gone", 502),
        (b"event: error\ndata: gone\n\n", "gone", 502),
    ],
)
def test_an_error_in_the_stream_ends_it_after_what_came_before(sent: bytes, message: str, status: int) -> None:
    """The upstream's own error is told, in all the shapes that servers use; tokens before it are kept."""
    chunks = reader()
    assert chunks.feed(chunk({"content": "a"}) + sent + chunk({"content": "b"})) == [Delta("a")]
    assert isinstance(chunks.error, UpstreamRefused)
    assert (chunks.error.message, chunks.error.status) == (message, status)


@pytest.mark.parametrize(
    "data", [b"{", b"no", b'{"choices": 1}', b'{"choices": [{"delta": {"content": true}}]}', b"\xff", b"[" * 5000]
)
def test_what_is_no_chunk_is_malformed(data: bytes) -> None:
    """JSON that is none, or of another shape, ends the answer with a typed error."""
    chunks = reader()
    assert chunks.feed(chunk({"content": "a"}) + b"data: " + data + b"\n\n") == [Delta("a")]
    assert isinstance(chunks.error, UpstreamMalformed)


def test_unknown_fields_are_passed_over() -> None:
    """New fields in the upstream's chunks break nothing."""
    data = {"choices": [{"delta": {"content": "a", "audio": {}}, "logprobs": None}], "object": 7, "error": None}
    assert read(b"data:" + msgspec.json.encode(data) + b"\n\n") == [Delta("a")]


BOMBS = {
    "lists in a field": b'{"choices":[{"delta":{"content":"a"},"x":[%b[]]}]}' % (b"[]," * 60_000),
    "lists": b"[%b[]]" % (b"[]," * 60_000),
    "lists that break off": b'{"choices":[%b' % (b"[]," * 60_000),
    "lines": b"{}\ndata: " * (MAX_LINES + 1) + b"{}",
    "too much beside a piece": b'{"choices":[{"delta":{"content":"a","x":"%b"}}]}' % (b"x" * MAX_EXTRA_BYTES),
    "too much that lasts": b'{"choices":[],"x":"%b"}' % (b"x" * MAX_LASTING_BYTES),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_chunk_that_is_a_bomb_ends_the_answer(data: bytes) -> None:
    """An upstream is not trusted with memory: what came before is kept, and the end is typed."""
    chunks = reader()
    before = chunks.feed(chunk({"content": "so far"}))
    assert chunks.feed(b"data: " + data + b"\n\n") == []
    assert isinstance(chunks.error, UpstreamMalformed)
    assert [each.text for each in before if isinstance(each, Delta)] == ["so far"]


def test_what_lasts_is_bounded_over_the_whole_answer() -> None:
    """A field with another name in every chunk would be kept for as long as the answer is live."""
    chunks = reader()
    for number in range(30):
        chunks.feed(b'data: {"choices":[],"x%d":"%b"}\n\n' % (number, b"x" * (MAX_LASTING_BYTES // 20)))
    assert isinstance(chunks.error, UpstreamMalformed)


def test_what_lasts_and_changes_takes_the_place_of_what_it_was() -> None:
    """However often it changes."""
    chunks = reader()
    for number in range(30):
        told = chunks.feed(b'data: {"choices":[{"delta":{"content":"a"}}],"x":"%d%b"}\n\n' % (number, b"x" * 100_000))
        assert len(told) == 1
    assert chunks.error is None
