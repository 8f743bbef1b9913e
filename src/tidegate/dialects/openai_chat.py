"""The dialect of OpenAI's chat completions: the body of `POST /v1/chat/completions`."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from tidegate.core.events import GenerationRequest, Message
from tidegate.dialects.body import check_messages, convert, parse_body
from tidegate.errors import InvalidValue


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
    for name in ("metadata", "stream_options"):
        if fields.get(name):
            extra[name] = fields[name]
    # What the messages would be sent as, were they made of what is known of them.
    as_known = [msgspec.to_builtins(message) for message in chat.messages]
    return chat, chat.request(extra, tuple(raw) if raw != as_known else ())


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
