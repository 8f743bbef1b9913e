"""The dialect of OpenAI's chat completions: the body of `POST /v1/chat/completions`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from tidegate.core.events import GenerationRequest, Message
from tidegate.core.steps import Steps
from tidegate.dialects.fields import Fields, fields_of
from tidegate.dialects.messages import MAX_MESSAGES, conversation
from tidegate.dialects.native import MaxTokens, Metadata, ModelName, Seed, StopText, Temperature
from tidegate.errors import InvalidValue


class StreamOptions(msgspec.Struct, frozen=True):
    """`include_usage` asks for one more chunk at the end, with the usage."""

    include_usage: bool | None = None


class ChatOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the body that tidegate itself reads, besides the messages."""

    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    temperature: Temperature | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    stop: StopText | Annotated[tuple[StopText, ...], Meta(max_length=16)] | None = None
    seed: Seed | None = None
    metadata: Metadata | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()


class ChatCompletion(ChatOptions, frozen=True, kw_only=True):
    """The body. Other fields are passed on to upstreams that speak OpenAI's API."""

    messages: Annotated[tuple[Message, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]


READ = frozenset(ChatOptions.__struct_fields__)
BOTH = ("metadata", "stream_options", "max_completion_tokens")
"""Fields that are read here, and passed on as well."""

_options = msgspec.json.Decoder(ChatOptions)


def parse(body: bytes) -> Steps[tuple[ChatOptions, GenerationRequest]]:
    """The body's options, and the request for the provider. Raises `InvalidJson` or `InvalidValue` with its `param`."""
    fields = yield from fields_of(body)
    options = yield from fields.read(_options, fields.members.keys() - READ)
    if options.stream_options is not None and not options.stream:
        raise InvalidValue("`stream_options` needs `stream: true`", param="stream_options")
    messages, raw = yield from conversation(fields, strict=False)
    request = GenerationRequest(
        model=options.model,
        messages=messages,
        raw_messages=raw,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_completion_tokens or options.max_tokens,
        stop=options.stops,
        seed=options.seed,
        metadata=options.metadata or {},
        extra={name: fields.own(fields.members[name]) for name in _passed_on(fields)},
    )
    return options, request


def _passed_on(fields: Fields) -> Iterator[str]:
    for name in fields.members:
        if name in BOTH:
            if fields.get(name) is not None:
                yield name
        elif name not in READ and name != "messages":
            yield name


def parse_on_disconnect(header: str | None) -> float | None:
    """The grace in seconds that the header `tidegate-on-disconnect` asks for: `keep` (None: never cancel), `cancel` or
    a number; without the header an abandoned answer is cancelled at once (0).

    Raises `InvalidValue`.
    """
    if header is None or header == "cancel":
        return 0
    if header == "keep":
        return None
    if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", header):
        return float(header)
    raise InvalidValue("the header is `keep`, `cancel` or a number of seconds", param="tidegate-on-disconnect")
