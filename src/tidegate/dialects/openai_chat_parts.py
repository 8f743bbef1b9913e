"""The parts that OpenAI's chat answers have in common, streamed or whole."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.core.events import Completed, Usage

LEGACY = "function_call"
"""The `type` of a call in the form that came before tool calls, which has neither index nor id."""


def completion_id(stream: str) -> str:
    """The `chatcmpl-` id of a stream's answer."""
    return f"chatcmpl-{stream.removeprefix('gen_')}"


def usage(counted: Usage) -> dict[str, Any]:
    """OpenAI's usage object, with what else the upstream has counted; an estimate says that it is one."""
    counts = {
        "prompt_tokens": counted.prompt_tokens,
        "completion_tokens": counted.completion_tokens,
        "total_tokens": counted.total_tokens,
    }
    return {**fields_of(counted.details), **counts, **({"estimated": True} if counted.estimated else {})}


def finish_reason(end: Completed, *, legacy: bool) -> str:
    """Why the answer ended, in the words of whoever still speaks of functions."""
    return "function_call" if legacy and end.finish_reason == "tool_calls" else end.finish_reason


def call(id: str | None, name: str | None, arguments: str, extra: dict[str, Any]) -> dict[str, Any]:
    """A tool call, or a fragment of one; `extra` has its other fields."""
    named = {} if name is None else {"name": name}
    known = {} if id is None else {"id": id, "type": "function"}
    if extra.get("type") == "custom":
        return {**known, **extra, "custom": {**named, "input": arguments}}
    return {**known, "function": {**named, "arguments": arguments}, **extra}


def fields_of(raw: msgspec.Raw | UnsetType) -> dict[str, Any]:
    """The fields of an object that was kept as it came."""
    return {} if raw is UNSET else cast("dict[str, Any]", msgspec.json.decode(raw))
