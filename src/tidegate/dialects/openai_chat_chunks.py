"""The dialect of OpenAI's chat completions: a streamed answer.

Only what its official SDKs accept is sent: no `id:` and no `retry:` fields, no block without data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from tidegate.core import sse
from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    Event,
    Extra,
    Failed,
    Published,
    Reasoning,
    Started,
    ToolCall,
)
from tidegate.core.log import Entry
from tidegate.core.notices import Notice, Reconnect, sent_away
from tidegate.dialects.openai_chat_parts import LEGACY, call, completion_id, fields_of, finish_reason, usage
from tidegate.errors import GenerationCancelled, Interrupted

DONE = b"data: [DONE]\n\n"

LASTING = frozenset({"system_fingerprint", "service_tier"})
"""What OpenAI's own chunks all have; the log has it once. Other fields are said where the upstream said them first."""

NOTHING = Extra()


class ChatChunks:
    """Encodes one stream's events for one reader, from the first on: what holds for all chunks is remembered."""

    preamble = b""
    # Glued to what follows: SDKs raise on a block that holds nothing but a comment.
    heartbeat = b": heartbeat\n"

    def __init__(self, stream: str, model: str, created_at: float, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head = {
            "id": completion_id(stream),
            "object": "chat.completion.chunk",
            "created": int(created_at),
            "model": model,
        }
        self._legacy: set[int] = set()
        self._custom: set[int] = set()
        self._before, self._after = self._around_text()

    def entries(self, entries: Sequence[Entry]) -> bytes:
        """The chunks of log entries, in one piece; after the last, `[DONE]` or an error that SDKs raise on."""
        return sse.escaped(b"".join(self._event(entry.event) for entry in entries))

    def notice(self, notice: Notice) -> bytes:
        """A client of this API cannot come back to its stream: it is told that the answer broke off."""
        if isinstance(notice, Reconnect):
            why = sent_away(notice)
            return _error(why.type, why.code, why.message)
        return _error(Interrupted.type, Interrupted.code, "the answer cannot be followed any further")

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(text) if event.extra is UNSET:
                return b'%b"content":%b%b' % (self._before, msgspec.json.encode(text), self._after)
            case Delta(text, Extra(refusal=refusal)):
                return self._piece({"refusal" if refusal else "content": text} if text else {}, event)
            case Reasoning(text):
                return self._piece({"reasoning_content": text}, event)
            case ToolCall():
                return self._piece(self._call(event), event)
            case Started():
                return self._chunk({"role": "assistant", "content": ""})
            case Completed():
                return self._completed(event)
            case Cancelled(by=by):
                return _error(GenerationCancelled.type, GenerationCancelled.code, f"the answer was cancelled by {by}")
            case Failed(error=error):
                return _error(error.type, error.code, error.message)
            case Published() | Delta():
                raise TypeError("a generation has no such events")

    def _piece(self, delta: dict[str, Any], event: Delta | Reasoning | ToolCall) -> bytes:
        extra = event.extra or NOTHING
        said = fields_of(extra.chunk)
        if lasting := {name: said.pop(name) for name in LASTING & said.keys()}:
            self._head |= lasting
            self._before, self._after = self._around_text()
        return self._chunk({**fields_of(extra.delta), **delta}, beside=fields_of(extra.choice), above=said)

    def _call(self, event: ToolCall) -> dict[str, Any]:
        extra = fields_of((event.extra or NOTHING).call)
        if extra.get("type") == LEGACY:
            self._legacy.add(event.index)
        if extra.get("type") == "custom":
            self._custom.add(event.index)
        if event.index in self._legacy:
            return {"function_call": call(None, event.name, event.arguments, {})["function"]}
        fragment = call(event.id, event.name, event.arguments, extra)
        if event.index in self._custom and "function" in fragment:
            fragment = {"custom": {"input": event.arguments}}
        return {"tool_calls": [{"index": event.index, **fragment}]}

    def _completed(self, event: Completed) -> bytes:
        last = self._chunk({}, finish_reason(event, legacy=bool(self._legacy)))
        counted = self._encode([], usage(event.usage)) if self._include_usage else b""
        return last + counted + DONE

    def _around_text(self) -> tuple[bytes, bytes]:
        # All but a delta's text is the same each time. No name in it looks like this: its quotes are escaped.
        before, _, after = self._chunk({"content": ""}).rpartition(b'"content":""')
        return before, after

    def _chunk(
        self,
        delta: dict[str, Any],
        why: str | None = None,
        *,
        beside: dict[str, Any] | None = None,
        above: dict[str, Any] | None = None,
    ) -> bytes:
        return self._encode([{"index": 0, "delta": delta, **(beside or {}), "finish_reason": why}], None, above)

    def _encode(
        self, choices: list[dict[str, Any]], counted: dict[str, Any] | None, above: dict[str, Any] | None = None
    ) -> bytes:
        # `usage` is there only where it was asked for, and null in every chunk but the last.
        last = {"usage": counted} if self._include_usage else {}
        return sse.encode(msgspec.json.encode({**self._head, **(above or {}), "choices": choices, **last}))


def _error(type: str, code: str, message: str) -> bytes:
    error = {"type": type, "code": code, "message": message, "param": None}
    return sse.encode(msgspec.json.encode({"error": error}))
