"""The dialect of OpenAI's chat completions: a streamed answer.

It sends only what OpenAI's official SDKs accept: no `id:` and no `retry:` fields, and no block without data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.core import batching, events, sse
from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
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
from tidegate.core.notices import Gap, Notice, Reconnect, sent_away
from tidegate.dialects.openai_chat_parts import LEGACY, call, completion_id, fields_of, finish_reason, usage
from tidegate.errors import GenerationCancelled, Interrupted

DONE = b"data: [DONE]\n\n"

LASTING = frozenset({"system_fingerprint", "service_tier"})
"""Fields that all of OpenAI's own chunks have; the log has each once. Other fields are sent where the upstream sent
them first."""

NOTHING = Extra()


class ChatState(msgspec.Struct):
    """The state: `head` has the fields that all chunks have, `legacy` and `custom` the indices of calls that are no
    ordinary tool calls. `before` and `after` are the bytes around each text.
    """

    head: dict[str, Any] = {}
    before: bytes = b""
    after: bytes = b""
    legacy: set[int] = set()
    custom: set[int] = set()


class ChatChunks(msgspec.Struct, frozen=True):
    """The dialect of a streamed answer; `include_usage` asks for one more chunk at its end."""

    include_usage: bool

    @property
    def remembers(self) -> bool:
        return True

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ()

    @property
    def preamble(self) -> bytes:
        return b""

    @property
    def heartbeat(self) -> bytes:
        # Without a blank line, so that it joins the next block: SDKs raise on a block with nothing but a comment.
        return b": heartbeat\n"

    def begin(self) -> ChatState:
        """The state before the first event, `started`, which gives the chunks their id and model."""
        return ChatState()

    def skip(self, state: ChatState, entries: Sequence[Entry]) -> None:
        """Moves the state past these entries."""
        for entry in entries:
            event = entry.event
            if isinstance(event, Started):
                self._start(state, event)
            elif isinstance(event, Delta | Reasoning | ToolCall):
                self._note(state, event)

    def fork(self, state: ChatState) -> ChatState:
        """A copy of the state."""
        return ChatState(dict(state.head), state.before, state.after, set(state.legacy), set(state.custom))

    def position(self, token: str, *, param: str) -> Cursor:
        """The cursor, since chunks have no positions of their own. Raises `MalformedCursor` naming `param`."""
        return parse_cursor(token, param=param)

    def encode(self, state: ChatState, entries: Sequence[Entry], *, merge: bool) -> bytes:
        """The chunks of log entries, in one piece; after the last, `[DONE]` or an error that makes SDKs raise."""
        shown = batching.merge(entries) if merge else entries
        if len(shown) == 1:
            chunks = self._entry(state, shown[0])
        else:
            chunks = b"".join([self._entry(state, entry) for entry in shown])
        return chunks if chunks.isascii() else sse.escaped(chunks)

    def notice(self, state: ChatState, notice: Notice) -> bytes:
        """An error that says that the answer broke off: a client of this API cannot come back to its stream."""
        if isinstance(notice, Reconnect):
            why = sent_away(notice)
            return _error(why.type, why.code, why.message)
        if isinstance(notice, Gap):
            new = self.begin()
            state.head, state.before, state.after = new.head, new.before, new.after
            state.legacy, state.custom = new.legacy, new.custom
        return _error(Interrupted.type, Interrupted.code, "the answer cannot be followed any further")

    def _entry(self, state: ChatState, entry: Entry) -> bytes:
        text = events.plain_text(entry.json)
        if text is None:
            return self._event(state, entry.event)
        return b'%b"content":%b%b' % (state.before, text, state.after)

    def _event(self, state: ChatState, event: Event) -> bytes:
        match event:
            case Delta() | Reasoning() | ToolCall():
                return self._piece(state, event)
            case Started():
                self._start(state, event)
                return self._chunk(state.head, {"role": "assistant", "content": ""})
            case Completed():
                return self._completed(state, event)
            case Cancelled(by=by):
                return _error(GenerationCancelled.type, GenerationCancelled.code, f"the answer was cancelled by {by}")
            case Failed(error=error):
                return _error(error.type, error.code, error.message)
            case Published():
                raise TypeError("a generation has no such events")

    def _start(self, state: ChatState, event: Started) -> None:
        state.head = {
            "id": completion_id(event.id),
            "object": "chat.completion.chunk",
            "created": int(event.created_at),
            "model": event.model,
        }
        state.before, state.after = self._around_text(state.head)

    def _note(self, state: ChatState, event: Delta | Reasoning | ToolCall) -> dict[str, Any]:
        """Moves the state past a piece, and returns the top-level fields that only this piece's chunk has."""
        extra = event.extra or NOTHING
        said = fields_of(extra.chunk)
        if lasting := {name: said.pop(name) for name in LASTING & said.keys()}:
            state.head |= lasting
            state.before, state.after = self._around_text(state.head)
        if isinstance(event, ToolCall):
            kind = fields_of(extra.call).get("type")
            if kind == LEGACY:
                state.legacy.add(event.index)
            if kind == "custom":
                state.custom.add(event.index)
        return said

    def _piece(self, state: ChatState, event: Delta | Reasoning | ToolCall) -> bytes:
        above = self._note(state, event)
        extra = event.extra or NOTHING
        delta = {**fields_of(extra.delta), **_delta(state, event, extra)}
        return self._chunk(state.head, delta, beside=fields_of(extra.choice), above=above)

    def _completed(self, state: ChatState, event: Completed) -> bytes:
        last = self._chunk(state.head, {}, finish_reason(event, legacy=bool(state.legacy)))
        counted = self._encode(state.head, [], usage(event.usage)) if self.include_usage else b""
        return last + counted + DONE

    def _around_text(self, head: dict[str, Any]) -> tuple[bytes, bytes]:
        # A name in a chunk cannot contain this text, since quotes are escaped.
        before, _, after = self._chunk(head, {"content": ""}).rpartition(b'"content":""')
        return before, after

    def _chunk(
        self,
        head: dict[str, Any],
        delta: dict[str, Any],
        why: str | None = None,
        *,
        beside: dict[str, Any] | None = None,
        above: dict[str, Any] | None = None,
    ) -> bytes:
        return self._encode(head, [{"index": 0, "delta": delta, **(beside or {}), "finish_reason": why}], None, above)

    def _encode(
        self,
        head: dict[str, Any],
        choices: list[dict[str, Any]],
        counted: dict[str, Any] | None,
        above: dict[str, Any] | None = None,
    ) -> bytes:
        # `usage` is sent only if it was asked for, and is null in every chunk but the last.
        last = {"usage": counted} if self.include_usage else {}
        return sse.encode(msgspec.json.encode({**head, **(above or {}), "choices": choices, **last}))


def _delta(state: ChatState, event: Delta | Reasoning | ToolCall, extra: Extra) -> dict[str, Any]:
    match event:
        case Delta(text):
            return {"refusal" if extra.refusal else "content": text} if text else {}
        case Reasoning(text):
            return {"reasoning_content": text}
        case ToolCall():
            return _call(state, event, extra)


def _call(state: ChatState, event: ToolCall, extra: Extra) -> dict[str, Any]:
    if event.index in state.legacy:
        return {"function_call": call(None, event.name, event.arguments, {})["function"]}
    fragment = call(event.id, event.name, event.arguments, fields_of(extra.call))
    if event.index in state.custom and "function" in fragment:
        fragment = {"custom": {"input": event.arguments}}
    return {"tool_calls": [{"index": event.index, **fragment}]}


def _error(type: str, code: str, message: str) -> bytes:
    error = {"type": type, "code": code, "message": message, "param": None}
    return sse.encode(msgspec.json.encode({"error": error}))
