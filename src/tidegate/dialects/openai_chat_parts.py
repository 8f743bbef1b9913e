"""The parts that streamed and whole answers of OpenAI's chat completions have in common."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.core.events import Completed, Usage

LEGACY = "function_call"
"""The `type` of a call in OpenAI's older form, before tool calls, which has neither index nor id."""


def completion_id(stream: str) -> str:
    """The `chatcmpl-` id of a stream's answer."""
    return f"chatcmpl-{stream.removeprefix('gen_')}"


def usage(counted: Usage) -> dict[str, Any]:
    """OpenAI's usage object, with the upstream's other counts; an estimate has `estimated`."""
    counts = {
        "prompt_tokens": counted.prompt_tokens,
        "completion_tokens": counted.completion_tokens,
        "total_tokens": counted.total_tokens,
    }
    return {**fields_of(counted.details), **counts, **({"estimated": True} if counted.estimated else {})}


def finish_reason(end: Completed, *, legacy: bool) -> str:
    """OpenAI's finish reason; with `legacy` a tool call is named `function_call`."""
    return "function_call" if legacy and end.finish_reason == "tool_calls" else end.finish_reason


def call(id: str | None, name: str | None, arguments: str, extra: dict[str, Any]) -> dict[str, Any]:
    """A tool call, or a fragment of one; `extra` has its other fields."""
    named = {} if name is None else {"name": name}
    known = {} if id is None else {"id": id, "type": "function"}
    if extra.get("type") == "custom":
        return {**known, **extra, "custom": {**named, "input": arguments}}
    return {**known, "function": {**named, "arguments": arguments}, **extra}


def fields_of(raw: msgspec.Raw | UnsetType) -> dict[str, Any]:
    """The fields of an object that was kept as JSON."""
    return {} if raw is UNSET else cast("dict[str, Any]", msgspec.json.decode(raw))
