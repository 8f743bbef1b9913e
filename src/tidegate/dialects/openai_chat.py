"""The dialect of OpenAI's chat completions: `POST /v1/chat/completions`, streamed and whole.

Only what its official SDKs accept is sent: no `id:` and no `retry:` fields, no block without data.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidegate.core import sse
from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    Event,
    Failed,
    FinishReason,
    GenerationRequest,
    Message,
    Published,
    Reasoning,
    Started,
    ToolCall,
    Usage,
)
from tidegate.core.fold import Snapshot
from tidegate.core.log import Entry
from tidegate.core.notices import Notice, Reconnect, sent_away
from tidegate.dialects.body import check_messages, convert, parse_body
from tidegate.errors import GenerationCancelled, Interrupted, InvalidValue, recall

DONE = b"data: [DONE]\n\n"


class StreamOptions(msgspec.Struct, frozen=True):
    """`include_usage` asks for one more chunk at the end, with the usage."""

    include_usage: bool | None = None


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """The body: what tidegate itself reads. Other fields are passed on to upstreams that speak OpenAI's API."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[tuple[Message, ...], Meta(min_length=1, max_length=10_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    stop: str | Annotated[tuple[str, ...], Meta(max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def request(self, extra: dict[str, Any], raw_messages: tuple[dict[str, Any], ...]) -> GenerationRequest:
        """What the provider is asked for; `extra` and `raw_messages` as in `GenerationRequest`."""
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        if self.max_completion_tokens is not None:
            extra = {**extra, "max_completion_tokens": self.max_completion_tokens}
        return GenerationRequest(
            model=self.model,
            messages=self.messages,
            raw_messages=raw_messages,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=stop,
            seed=self.seed,
            metadata=self.metadata or {},
            extra=extra,
        )


_body = msgspec.json.Decoder(dict[str, Any])


def parse(body: bytes) -> tuple[ChatCompletion, GenerationRequest]:
    """The body and what it asks of the provider. Raises `InvalidJson` or `InvalidValue` with its `param`."""
    fields = parse_body(_body, body)
    raw: Any = fields.get("messages")
    chat = convert({**fields, "messages": _known(raw)}, ChatCompletion)
    if chat.stream_options is not None and not chat.stream:
        raise InvalidValue("`stream_options` needs `stream: true`", param="stream_options")
    check_messages(chat.messages)
    extra = {name: value for name, value in fields.items() if name not in ChatCompletion.__struct_fields__}
    return chat, chat.request(extra, tuple(raw) if raw != _known(raw) else ())


def _known(messages: Any) -> Any:
    """The messages without the fields that only upstreams understand (`reasoning_content`, `audio`, …)."""
    if not isinstance(messages, list):
        return messages
    known = Message.__struct_fields__
    return [_only(known, message) for message in cast("list[Any]", messages)]


def _only(known: Container[str], message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in cast("dict[str, Any]", message).items() if name in known}


def parse_on_disconnect(header: str | None) -> float | None:
    """The grace of the header `tidegate-on-disconnect`: `keep` or seconds; without it an abandoned answer is cancelled.

    Returns seconds, None for ever.
    """
    if header is None or header == "cancel":
        return 0
    if header == "keep":
        return None
    if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", header):
        return float(header)
    raise InvalidValue("the header is `keep`, `cancel` or a number of seconds", param="tidegate-on-disconnect")


class ChatUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChunkChoice(msgspec.Struct, frozen=True):
    index: int
    delta: dict[str, Any]
    finish_reason: FinishReason | None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a streamed answer. `usage` is there only where it was asked for."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: ChatUsage | UnsetType | None = UNSET


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[dict[str, Any]] | UnsetType = UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    message: ChatMessage
    logprobs: None = None
    finish_reason: FinishReason


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: ChatUsage


class ChatChunks:
    """Encodes one stream's events for one reader."""

    preamble = b""
    # Glued to what follows: SDKs raise on a block that holds nothing but a comment.
    heartbeat = b": heartbeat\n"

    def __init__(self, stream: str, model: str, created_at: float, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._chunk = Chunk(
            id=_completion_id(stream),
            created=int(created_at),
            model=model,
            choices=(),
            usage=None if include_usage else UNSET,
        )
        # All but a delta's text is the same each time. No model's name looks like this: its quotes are escaped.
        self._before, _, self._after = self._delta({"content": ""}).partition(b'"content":""')

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
            case Started():
                return self._delta({"role": "assistant", "content": ""})
            case Delta(text):
                return b'%b"content":%b%b' % (self._before, msgspec.json.encode(text), self._after)
            case Reasoning(text):
                return self._delta({"reasoning_content": text})
            case ToolCall(index, id, name, arguments):
                return self._delta({"tool_calls": [{"index": index, **_call(id, name, arguments)}]})
            case Completed():
                return self._completed(event)
            case Cancelled(by=by):
                return _error(GenerationCancelled.type, GenerationCancelled.code, f"the answer was cancelled by {by}")
            case Failed(error=error):
                return _error(error.type, error.code, error.message)
            case Published():
                raise TypeError("a generation has no published events")

    def _delta(self, delta: dict[str, Any], finish_reason: FinishReason | None = None) -> bytes:
        return self._encode(choices=(ChunkChoice(0, delta, finish_reason),))

    def _completed(self, event: Completed) -> bytes:
        last = self._delta({}, event.finish_reason)
        usage = self._encode(choices=(), usage=_usage(event.usage)) if self._include_usage else b""
        return last + usage + DONE

    def _encode(self, **changes: Any) -> bytes:
        return sse.encode(msgspec.json.encode(msgspec.structs.replace(self._chunk, **changes)))


def whole(snapshot: Snapshot) -> Answer:
    """The answer to `stream: false`. Raises the failure of a stream that failed, or `GenerationCancelled`."""
    if snapshot.error is not None:
        raise recall(snapshot.error.type, snapshot.error.code, snapshot.error.message)
    if snapshot.finish_reason is None or snapshot.usage is None:
        raise GenerationCancelled("the answer was cancelled before its end")
    calls = [_call(call.id, call.name, call.arguments) for call in snapshot.tool_calls]
    return Answer(
        id=_completion_id(snapshot.id),
        created=int(snapshot.created_at),
        model=snapshot.model,
        choices=(
            Choice(
                message=ChatMessage(
                    content=snapshot.text or (None if calls else ""),
                    reasoning_content=snapshot.reasoning or UNSET,
                    tool_calls=calls or UNSET,
                ),
                finish_reason=snapshot.finish_reason,
            ),
        ),
        usage=_usage(snapshot.usage),
    )


def _completion_id(stream: str) -> str:
    return f"chatcmpl-{stream.removeprefix('gen_')}"


def _usage(usage: Usage) -> ChatUsage:
    return ChatUsage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def _call(id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"function": function} if id is None else {"id": id, "type": "function", "function": function}


def _error(type: str, code: str, message: str) -> bytes:
    error = {"type": type, "code": code, "message": message, "param": None}
    return sse.encode(msgspec.json.encode({"error": error}))
