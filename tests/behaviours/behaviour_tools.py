"""Tool calls in pieces."""

from __future__ import annotations

from behaviour import CALLED, HELLO, STOP, Behaviour, Call, calls, chunk, function, stream

TWO: tuple[Call, ...] = (("call_1", "f", '{"a":1}'), ("call_2", "g", '{"b":2}'))
MADE = "call_"
"""The beginning of an id that the upstream has left out."""


def called(name: str, *events: bytes, found: tuple[Call, ...] = TWO, main: bool = False) -> Behaviour:
    return Behaviour(name, stream(*events, CALLED), calls=found, finish="tool_calls", main=main)


TOOLS = [
    called(
        "as OpenAI sends them",
        calls(function("f", "", index=0, id="call_1")),
        calls({"index": 0, "function": {"arguments": '{"a"'}}),
        calls({"index": 0, "function": {"arguments": ":1}"}}),
        calls(function("g", "", index=1, id="call_2")),
        calls({"index": 1, "function": {"arguments": '{"b":2}'}}),
        main=True,
    ),
    called(
        "both numbered 0",
        calls(function("f", '{"a":1}', index=0, id="call_1")),
        calls(function("g", '{"b":2}', index=0, id="call_2")),
        main=True,
    ),
    called(
        "both numbered 0, in pieces",
        calls(function("f", '{"a"', index=0, id="call_1")),
        calls({"index": 0, "function": {"arguments": ":1}"}}),
        calls(function("g", '{"b"', index=0, id="call_2")),
        calls({"index": 0, "function": {"arguments": ":2}"}}),
    ),
    called(
        "not numbered",
        calls(function("f", '{"a":1}', id="call_1")),
        calls(function("g", '{"b":2}', id="call_2")),
        main=True,
    ),
    called(
        "not numbered, in one list", calls(function("f", '{"a":1}', id="call_1"), function("g", '{"b":2}', id="call_2"))
    ),
    called(
        "numbered from 1",
        calls(function("f", '{"a":1}', index=1, id="call_1"), function("g", '{"b":2}', index=2, id="call_2")),
    ),
    called(
        "numbered in words",
        calls(function("f", '{"a":1}', index="0", id="call_1"), function("g", '{"b":2}', index=1.0, id="call_2")),
    ),
    called(
        "id and name in every fragment",
        *(calls(function("f", piece, index=0, id="call_1")) for piece in ('{"a"', ":1}")),
        *(calls(function("g", piece, index=1, id="call_2")) for piece in ('{"b"', ":2}")),
        main=True,
    ),
    called(
        "woven together",
        calls(function("f", '{"a"', index=0, id="call_1"), function("g", '{"b"', index=1, id="call_2")),
        calls({"index": 1, "function": {"arguments": ":2}"}}, {"index": 0, "function": {"arguments": ":1}"}}),
    ),
    called(
        "a new id in every fragment",
        calls(function("f", '{"a"', index=0, id="call_1")),
        calls(function(None, ":1}", index=0, id="call_9")),
        found=TWO[:1],
    ),
    called(
        "no ids",
        calls(function("f", '{"a":1}', index=0)),
        calls(function("g", '{"b":2}', index=1)),
        found=((MADE, "f", '{"a":1}'), (MADE, "g", '{"b":2}')),
        main=True,
    ),
    called(
        "no ids, both numbered 0",
        calls(function("f", '{"a":1}', index=0)),
        calls(function("g", '{"b":2}', index=0)),
        found=((MADE, "f", '{"a":1}'), (MADE, "g", '{"b":2}')),
    ),
    called(
        "no ids, the same function twice",
        calls(function("f", '{"a":1}', index=0)),
        calls(function("f", '{"a":2}', index=0)),
        found=((MADE, "f", '{"a":1}'), (MADE, "f", '{"a":2}')),
    ),
    called(
        "no ids, no numbers, the name in every fragment",
        calls(function("f", '{"a"')),
        calls(function("f", ":1}")),
        found=((MADE, "f", '{"a":1}'),),
    ),
    called(
        "an id that comes later",
        calls(function("f", "", index=0)),
        calls(function(None, '{"a":1}', index=0, id="call_1")),
        found=((MADE, "f", '{"a":1}'),),
    ),
    called(
        "an id before its name",
        calls({"index": 0, "id": "call_1"}),
        calls(function("f", '{"a":1}', index=0)),
        found=TWO[:1],
    ),
    called("arguments as an object", calls(function("f", {"a": 1}, index=0, id="call_1")), found=TWO[:1], main=True),
    called(
        "arguments that are null",
        calls({"index": 0, "id": "c", "function": {"name": "f", "arguments": None}}),
        found=(("c", "f", ""),),
    ),
    called(
        "a call that is no list", chunk({"tool_calls": function("f", '{"a":1}', index=0, id="call_1")}), found=TWO[:1]
    ),
    called("a number for an id", calls(function("f", "{}", index=0, id=7)), found=(("7", "f", "{}"),)),
    called(
        "half a character in the arguments",
        calls(function("f", '"\ud83d', index=0, id="c")),
        calls(function(None, '\ude00"', index=0)),
        found=(("c", "f", '"\U0001f600"'),),
    ),
    Behaviour(
        "a function call",
        stream(
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            chunk({"function_call": {"arguments": "{}"}}),
            chunk({}, "function_call"),
        ),
        calls=((MADE, "f", "{}"),),
        finish="tool_calls",
    ),
    *[
        Behaviour(f"a stub: {name}", stream(HELLO, chunk(delta), STOP), text="Hello", main=name == "function_call")
        for name, delta in {
            "function_call": {"function_call": {"name": "", "arguments": ""}},
            "function_call of nulls": {"function_call": {"name": None, "arguments": None}},
            "no tool_calls": {"tool_calls": []},
            "an empty call": {"tool_calls": [{}]},
            "a numbered call": {"tool_calls": [{"index": 0, "function": {}}]},
            "a call of empty texts": {"tool_calls": [function("", "", index=0, id="")]},
            "a call that has only an id": {"tool_calls": [{"index": 0, "id": "call_1", "type": "function"}]},
            "tool_calls is null": {"tool_calls": None},
        }.items()
    ],
    called(
        "the same id for all",
        calls(function("f", '{"a":1}', index=0, id="null")),
        calls(function("g", '{"b":2}', index=1, id="null")),
        found=((MADE, "f", '{"a":1}'), (MADE, "g", '{"b":2}')),
    ),
    called(
        "one id for two",
        calls(function("f", '{"a":1}', index=0, id="call_1")),
        calls(function("g", '{"b":2}', index=1, id="call_1")),
        found=(("call_1", "f", '{"a":1}'), (MADE, "g", '{"b":2}')),
    ),
    called(
        "numbers only at first",
        calls(function("f", '{"a"', index=0, id="call_1")),
        calls({"function": {"arguments": ":1}"}}),
        calls(function("g", '{"b"', index=1, id="call_2")),
        calls({"function": {"arguments": ":2}"}}),
    ),
    called(
        "both forms of one call",
        chunk(
            {
                "tool_calls": [function("f", '{"a":1}', index=0, id="call_1")],
                "function_call": {"name": "f", "arguments": '{"a":1}'},
            }
        ),
        found=TWO[:1],
    ),
    called(
        "the whole call again at the end",
        calls(function("f", '{"a":1}', index=0, id="call_1")),
        chunk({}, "tool_calls", message={"tool_calls": [function("f", '{"a":1}', index=0, id="call_1")]}),
        found=TWO[:1],
    ),
    *[
        Behaviour(f"a stub: {name}", stream(HELLO, chunk(delta), STOP), text="Hello")
        for name, delta in {
            "tool_calls is a text": {"tool_calls": ""},
            "tool_calls of texts": {"tool_calls": [""]},
            "tool_calls is false": {"tool_calls": False},
            "a call of an empty object": {"tool_calls": [{"index": 0, "function": {"name": None, "arguments": {}}}]},
        }.items()
    ],
]
