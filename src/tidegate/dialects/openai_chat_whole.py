"""The dialect of OpenAI's chat completions: a whole answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.core.events import Completed, Delta, Extra, Failed, Reasoning, Terminal, ToolCall
from tidegate.core.fold import Fold
from tidegate.core.log import Entry
from tidegate.core.recall import recall
from tidegate.dialects.accumulate import add_fields, added, told
from tidegate.dialects.openai_chat_parts import LEGACY, call, completion_id, fields_of, finish_reason, usage
from tidegate.errors import GenerationCancelled

NOTHING = Extra()


class ChatUsage(msgspec.Struct, frozen=True):
    """Tokens used. `estimated` is true where the upstream has not counted; its other counts stand beside these."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated: bool | UnsetType = UNSET


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[dict[str, Any]] | UnsetType = UNSET
    function_call: dict[str, Any] | UnsetType = UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    message: ChatMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: str


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. It, its choice and its message may have further fields that the upstream has sent."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: ChatUsage


class WholeAnswer:
    """Makes the whole answer from the log of one stream, which is added a page at a time."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._head: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds the next entries."""
        for entry in entries:
            self._fold.add((entry,))
            if isinstance(event := entry.event, Delta | Reasoning | ToolCall):
                self._add(event, event.extra or NOTHING)

    def answer(self, stream: str, model: str, created_at: float, end: Terminal | None) -> dict[str, Any]:
        """The JSON of a `ChatCompletion`. Raises the error of a stream that failed, or `GenerationCancelled`."""
        if isinstance(end, Failed):
            raise recall(end.error.type, end.error.code, end.error.message)
        if not isinstance(end, Completed):
            raise GenerationCancelled("the answer was cancelled before its end")
        return {
            "id": completion_id(stream),
            "object": "chat.completion",
            "created": int(created_at),
            "model": model,
            **self._head,
            "choices": [self._chosen(end)],
            "usage": usage(end.usage),
        }

    def _add(self, event: Delta | Reasoning | ToolCall, extra: Extra) -> None:
        if isinstance(event, Delta):
            (self._refusal if extra.refusal else self._text).append(event.text)
        if extra is NOTHING:
            return
        if isinstance(event, ToolCall):
            add_fields(self._calls.setdefault(event.index, {}), fields_of(extra.call))
        self._head |= fields_of(extra.chunk)
        for name, value in fields_of(extra.choice).items():
            self._choice[name] = added(self._choice.get(name), value) if name == "logprobs" else value
        add_fields(self._message, fields_of(extra.delta))

    def _chosen(self, end: Completed) -> dict[str, Any]:
        legacy = any(extra.get("type") == LEGACY for extra in self._calls.values())
        beside = cast("dict[str, Any]", told(self._choice))
        return {
            "index": 0,
            "message": self._chosen_message(),
            "logprobs": None,
            **beside,
            "finish_reason": finish_reason(end, legacy=legacy),
        }

    def _chosen_message(self) -> dict[str, Any]:
        extras = cast("dict[int, dict[str, Any]]", told(self._calls))
        calls = [call(each.id, each.name, each.arguments, extras.get(each.index, {})) for each in self._fold.tool_calls]
        made = [each for each in calls if each.get("type") != LEGACY]
        legacy = [each["function"] for each in calls if each.get("type") == LEGACY]
        refusal = "".join(self._refusal)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._text) or (None if calls or refusal else ""),
            "refusal": refusal or None,
            **cast("dict[str, Any]", told(self._message)),
        }
        if reasoning := self._fold.reasoning:
            message["reasoning_content"] = reasoning
        if made:
            message["tool_calls"] = made
        if legacy:
            message["function_call"] = legacy[0]
        return message
