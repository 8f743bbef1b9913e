"""How answers end."""

from __future__ import annotations

from behaviour import (
    CALLED,
    DONE,
    HELLO,
    STOP,
    USAGE,
    Behaviour,
    answer,
    bare,
    calls,
    chunk,
    completion,
    counts,
    data,
    function,
    head,
    said,
    stream,
    text,
    usage,
)

ABORTED = ("upstream_aborted", 502)
INTERRUPTED = ("upstream_interrupted", 502)
EMPTY = ("upstream_empty", 502)

FINISH_WORDS = [
    *[(word, "stop") for word in ("stop", "eos", "end_turn", "STOP", "stop_sequence", "COMPLETE")],
    *[(word, "length") for word in ("length", "max_tokens", "model_length", "MAX_TOKENS", "FINISH_REASON_MAX_TOKENS")],
    *[(word, "content_filter") for word in ("content_filter", "SAFETY", "RECITATION", "content-filter")],
]
FAILED_WORDS = (
    "abort",
    "error",
    "cancelled",
    "USER_CANCELED",
    "network_error",
    "insufficient_system_resource",
    "timeout",
)

ENDS = [
    Behaviour("plain", stream(HELLO, STOP), text="Hello", pieces=2, main=True),
    *[
        Behaviour(f"finish {word}", stream(HELLO, chunk({}, word)), text="Hello", finish=ours)
        for word, ours in FINISH_WORDS
    ],
    *[
        Behaviour(f"finish {word}", stream(HELLO, chunk({}, word)), text="Hello", error=ABORTED, main=word == "abort")
        for word in FAILED_WORDS
    ],
    Behaviour(
        "abort without [DONE]", bare(HELLO, chunk({}, "abort")), text="Hello", error=ABORTED, usage=None, pieces=2
    ),
    Behaviour(
        "a finish reason in every chunk",
        stream(*(chunk({"content": word}, "stop") for word in ("one ", "two ", "three"))),
        text="one two three",
        main=True,
    ),
    Behaviour("a finish reason before the text", stream(STOP, HELLO), text="Hello"),
    Behaviour("an empty one in every chunk", stream(chunk({"content": "a"}, ""), chunk({}, "stop")), text="a"),
    Behaviour("null as a word", stream(chunk({"content": "a"}, "null"), chunk({}, "stop")), text="a"),
    Behaviour("two finish reasons", stream(HELLO, STOP, chunk({}, "length")), text="Hello", finish="length"),
    Behaviour(
        "tool_calls, then stop",
        stream(calls(function("f", "{}", index=0, id="a")), CALLED, STOP),
        calls=(("a", "f", "{}"),),
        finish="tool_calls",
        main=True,
    ),
    Behaviour(
        "a finish reason in the delta", stream(HELLO, chunk({"finish_reason": "length"})), text="Hello", finish="length"
    ),
    Behaviour(
        "a finish reason of another spelling",
        stream(HELLO, data({"choices": [{"index": 0, "delta": {}, "finishReason": "MAX_TOKENS"}]})),
        text="Hello",
        finish="length",
    ),
    Behaviour(
        "a finish reason that is an object",
        stream(HELLO, chunk({}, {"type": "abort", "message": "x"})),
        text="Hello",
        error=ABORTED,
    ),
    Behaviour(
        "an object that says length", stream(HELLO, chunk({}, {"type": "length"})), text="Hello", finish="length"
    ),
    Behaviour("Gemini's number for a limit", stream(HELLO, chunk({}, 2)), text="Hello", finish="length"),
    Behaviour("Cohere's full context", stream(HELLO, chunk({}, "ERROR_LIMIT")), text="Hello", finish="length"),
    Behaviour("a finish reason that is a number", stream(HELLO, chunk({}, 1)), text="Hello"),
    Behaviour("no finish reason, but [DONE]", stream(HELLO), text="Hello"),
    Behaviour("no [DONE]", bare(HELLO, STOP, USAGE), text="Hello", main=True),
    Behaviour("neither", bare(HELLO), text="Hello", error=INTERRUPTED, usage=None, pieces=2),
    Behaviour("only [DONE]", bare(DONE), error=EMPTY, usage=(0, 0), main=True),
    Behaviour("nothing at all", bare(), error=EMPTY, usage=(0, 0)),
    Behaviour("only a role", bare(chunk({"role": "assistant", "content": ""}), DONE), error=EMPTY, usage=(0, 0)),
    Behaviour(
        "a sentence in place of a stream",
        head(kind="text/plain") + b"Sorry, we are closed.\n",
        error=("upstream_refused", 502),
        words="we are closed",
        usage=(0, 0),
    ),
    Behaviour(
        "a sentence as JSON",
        bare(data(b'"ERROR: no quota"'), DONE),
        error=("upstream_refused", 502),
        words="no quota",
        usage=(0, 0),
    ),
    Behaviour(
        "MiniMax's error",
        answer({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "no credit"}}),
        error=("upstream_refused", 502),
        words="no credit",
        usage=(0, 0),
    ),
    Behaviour(
        "Baidu's error",
        answer({"error_code": 18, "error_msg": "no credit"}),
        error=("upstream_refused", 502),
        words="no credit",
        usage=(0, 0),
    ),
    Behaviour("only keep-alives", bare(b": ping\n\n", DONE), error=EMPTY, usage=(0, 0)),
    Behaviour("an empty answer that says so", stream(STOP), usage=(7, 3)),
    Behaviour("a last event without its blank line", bare(HELLO, STOP, USAGE[:-1]), text="Hello"),
    Behaviour(
        "a last event without its line end", bare(HELLO, STOP[:-2]), text="Hello", usage=None, pieces=2, main=True
    ),
    Behaviour("a last event that is cut", bare(HELLO, STOP, USAGE[:-20]), text="Hello", usage=None, pieces=2),
    Behaviour("[DONE] without its line end", bare(HELLO, b"data: [DONE]"), text="Hello", usage=None, pieces=2),
    Behaviour("no blank lines", bare((HELLO + STOP + USAGE + DONE).replace(b"\n\n", b"\n")), text="Hello"),
    Behaviour("text after [DONE]", stream(HELLO, STOP) + text("late"), text="Hello"),
    Behaviour(
        "an error after the text",
        stream(HELLO, data({"error": {"message": "CUDA"}})),
        text="Hello",
        error=("upstream_refused", 502),
        words="CUDA",
        usage=None,
        pieces=2,
        main=True,
    ),
    Behaviour(
        "an error event",
        stream(HELLO, b"event: error\n" + data({"message": "gone"})),
        text="Hello",
        error=("upstream_refused", 502),
        words="gone",
        usage=None,
        pieces=2,
    ),
    Behaviour(
        "an error in the choice",
        stream(HELLO, chunk({}, "error", error={"code": 429, "message": "slow"})),
        text="Hello",
        error=("upstream_refused", 429),
        words="slow",
        usage=None,
        pieces=2,
    ),
    Behaviour(
        "an error of zeros",
        stream(data({**said({"content": "a"}), "error": {"code": 0, "message": ""}}), STOP),
        text="a",
    ),
    Behaviour(
        "Groq's error",
        stream(HELLO, data({**said(), "x_groq": {"error": "over capacity"}})),
        text="Hello",
        error=("upstream_refused", 502),
        words="over capacity",
        usage=None,
        pieces=2,
    ),
    Behaviour(
        "an error with text and usage",
        bare(HELLO, data({**said({"content": "!"}), "usage": counts(), "error": "gone"})),
        text="Hello!",
        error=("upstream_refused", 502),
        words="gone",
    ),
    Behaviour(
        "usage, then an error",
        bare(HELLO, USAGE, data({"error": "gone"})),
        text="Hello",
        error=("upstream_refused", 502),
        words="gone",
    ),
    Behaviour(
        "an error in the middle that names streams",
        stream(HELLO, data({"error": {"message": "stream error: INTERNAL_ERROR"}})),
        text="Hello",
        error=("upstream_refused", 502),
        words="stream error",
        usage=None,
        pieces=2,
    ),
    Behaviour(
        "an error in the middle that names stream_options",
        bare(HELLO, data({"error": {"code": 400, "message": "no stream_options"}})),
        text="Hello",
        error=("upstream_refused", 400),
        words="stream_options",
        usage=None,
        pieces=2,
    ),
    Behaviour("an error that is empty", stream(data({**said({"content": "a"}), "error": ""}), STOP), text="a"),
    Behaviour(
        "usage with the abort", bare(HELLO, data({**said({}, "abort"), "usage": counts()})), text="Hello", error=ABORTED
    ),
    # Usage
    Behaviour(
        "usage in the last chunk", bare(HELLO, data({**said({}, "stop"), "usage": counts()}), DONE), text="Hello"
    ),
    Behaviour("usage before the end", bare(usage(counts()), HELLO, STOP, DONE), text="Hello"),
    Behaviour(
        "usage, then an empty one", stream(HELLO, STOP, usage(counts()), usage({}))[: -len(USAGE + DONE)], text="Hello"
    ),
    Behaviour(
        "usage, then zeros",
        bare(HELLO, STOP, USAGE, usage({"prompt_tokens": 0, "completion_tokens": 0}), DONE),
        text="Hello",
    ),
    Behaviour("usage, then half of it zero", bare(HELLO, STOP, USAGE, usage(counts(7, 0)), DONE), text="Hello"),
    Behaviour("usage, then null", bare(HELLO, STOP, USAGE, usage(None), DONE), text="Hello"),
    Behaviour(
        "usage that counts along",
        bare(*(data({**said({"content": c}), "usage": counts(7, i + 1)}) for i, c in enumerate("abc")), STOP, DONE),
        text="abc",
    ),
    Behaviour("usage of floats", bare(HELLO, STOP, usage(counts(7.0, 3.0)), DONE), text="Hello"),
    Behaviour("usage of texts", bare(HELLO, STOP, usage(counts("7", "3")), DONE), text="Hello"),
    Behaviour(
        "usage of other names", bare(HELLO, STOP, usage({"input_tokens": 7, "output_tokens": 3}), DONE), text="Hello"
    ),
    Behaviour("usage in the choice", bare(HELLO, chunk({}, "stop", usage=counts()), DONE), text="Hello"),
    Behaviour("usage of nonsense", bare(HELLO, STOP, usage([1, "x"]), DONE), text="Hello", usage=None, pieces=2),
    Behaviour("usage below zero", bare(HELLO, STOP, usage(counts(-1, -3)), DONE), text="Hello", usage=None, pieces=2),
    Behaviour(
        "usage of 5,000 digits",
        bare(HELLO, STOP, data(b'{"choices":[],"usage":{"completion_tokens":' + b"9" * 5000 + b"}}"), DONE),
        text="Hello",
        usage=None,
        pieces=2,
    ),
    Behaviour(
        "usage without the prompt",
        bare(HELLO, STOP, usage({"completion_tokens": 3, "total_tokens": 10}), DONE),
        text="Hello",
    ),
    Behaviour(
        "usage in detail",
        bare(HELLO, STOP, usage(counts(prompt_tokens_details={"cached_tokens": 2}, cost=0.5, none=None)), DONE),
        text="Hello",
        details={"prompt_tokens_details": {"cached_tokens": 2}, "cost": 0.5},
        main=True,
    ),
    # Whole answers
    Behaviour(
        "a whole answer",
        answer(completion({"role": "assistant", "content": "Hello"}, usage=counts())),
        text="Hello",
        main=True,
    ),
    Behaviour(
        "a whole answer called an event stream",
        answer(completion({"content": "Hello"}, usage=counts()), kind="text/event-stream"),
        text="Hello",
    ),
    Behaviour(
        "a whole answer of unknown type",
        answer(completion({"content": "Hello"}, usage=counts()), kind="text/plain"),
        text="Hello",
    ),
    Behaviour(
        "a whole answer cut short",
        answer(completion({"content": "Hello"}, "length", usage=counts())),
        text="Hello",
        finish="length",
    ),
    Behaviour(
        "a whole answer of calls",
        answer(
            completion({"content": None, "tool_calls": [function("f", "{}", id="a")]}, "tool_calls", usage=counts())
        ),
        calls=(("a", "f", "{}"),),
        finish="tool_calls",
    ),
    Behaviour(
        "a whole answer without choices",
        answer({"choices": [], "object": "chat.completion"}),
        error=EMPTY,
        usage=(0, 0),
    ),
    Behaviour(
        "lines of JSON",
        answer(b"\n".join(each[6:-2] for each in (chunk({"content": "Hello"}), STOP, USAGE))),
        text="Hello",
    ),
    Behaviour("an event stream called JSON", head(kind="application/json") + HELLO + STOP + USAGE + DONE, text="Hello"),
    Behaviour("an event stream called HTML", head(kind="text/html") + HELLO + STOP + USAGE + DONE, text="Hello"),
    Behaviour(
        "the whole message at the end",
        stream(
            HELLO,
            data({"choices": [{"index": 0, "delta": {}, "message": {"content": "Hello"}, "finish_reason": "stop"}]}),
        ),
        text="Hello",
    ),
    Behaviour("an event stream of no type", b"HTTP/1.1 200 OK\r\n\r\n" + HELLO + STOP + USAGE + DONE, text="Hello"),
]
