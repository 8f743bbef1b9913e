"""The native dialect: the body of `POST /v1/streams`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta

from tidegate.core.batching import BatchPolicy
from tidegate.core.events import OBJECT, GenerationRequest, Message
from tidegate.core.opaque import Opaque, OpaqueMembers
from tidegate.core.steps import Steps
from tidegate.dialects.body import parse_body
from tidegate.dialects.fields import Fields, check_kind, fields_of
from tidegate.dialects.messages import MAX_MESSAGES, conversation
from tidegate.errors import InvalidValue

Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, Meta(min_length=1, max_length=256)]
Stop = Annotated[tuple[StopText, ...], Meta(max_length=16)]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)]
Messages = Annotated[tuple[Message, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]

MAX_TOOLS = 1024
"""The most tools of a request: a model gets all of them with every request, and cannot tell more than some hundred
apart."""

NULL: dict[str, Any] = {"type": "null"}
PROMPT: dict[str, Any] = {"anyOf": [{"type": "string", "minLength": 1}, NULL], "default": None}
TOOLS: dict[str, Any] = {
    "anyOf": [{"type": "array", "items": {"type": "object"}, "maxItems": MAX_TOOLS}, NULL],
    "default": None,
}
TOOL_CHOICE: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "object"}, NULL], "default": None}
"""The JSON Schemas of fields that are kept as JSON."""


class Grace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the last owner reader may be away, in seconds."""

    grace_seconds: Annotated[float, Meta(ge=0, le=86400)]


ON_DISCONNECT = (
    "What happens when the last reader that may cancel the stream has left: `cancel` it, `keep` it, or cancel it "
    "after `grace_seconds`. Default: 60 seconds of grace for a streamed answer, `cancel` for a whole one, `keep` in "
    "the background."
)
EXTRA = "What only an upstream understands: passed on as it is, so no name of this schema may be in it."
PASSED_ON = ("tools", "tool_choice", "response_format")
OnDisconnect = Literal["keep", "cancel"] | Grace


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Micro-batching of this request's delivery: send at so many pieces, or after so long, whichever is first.

    Without `max_tokens` only the delay counts; without `max_delay_ms` nothing waits for longer than 100 ms.
    """

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] = 4096
    max_delay_ms: Annotated[int, Meta(ge=0, le=10000)] = 100


class CreateStream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one request schema that all native transports share. Exactly one of `prompt` and `messages`.

    Sampling parameters that are left out are the provider's defaults.
    """

    model: Annotated[ModelName, Meta(description="One of `GET /v1/models`.")]
    prompt: Annotated[Opaque, Meta(extra_json_schema=PROMPT)] = UNSET
    messages: Messages | None = None
    stream: Annotated[bool, Meta(description="Answer with the events as they come, not with the whole at the end.")] = (
        False
    )
    background: Annotated[bool, Meta(description="Answer 202 with the snapshot at once, whatever `stream` says.")] = (
        False
    )
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: MaxTokens | None = None
    stop: Annotated[Stop, Meta(description="Texts at which the answer ends, themselves left out.")] = ()
    seed: Annotated[Seed | None, Meta(description="The same seed and model give the same answer.")] = None
    tools: Annotated[Opaque, Meta(description="In OpenAI's shape, as the next two.", extra_json_schema=TOOLS)] = UNSET
    tool_choice: Annotated[Opaque, Meta(extra_json_schema=TOOL_CHOICE)] = UNSET
    response_format: Annotated[Opaque, Meta(extra_json_schema=OBJECT)] = UNSET
    extra: Annotated[OpaqueMembers, Meta(description=EXTRA)] = {}
    on_disconnect: Annotated[OnDisconnect | None, Meta(description=ON_DISCONNECT)] = None
    batch: Batch | None = None
    metadata: Annotated[Metadata, Meta(description="Kept with the stream and given back with its snapshot.")] = {}

    def request(self) -> GenerationRequest:
        """What the provider is asked for."""
        named = {name: getattr(self, name) for name in PASSED_ON}
        return GenerationRequest(
            model=self.model,
            messages=self.messages or (Message(role="user", content=self.prompt),),
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=self.stop,
            seed=self.seed,
            metadata=self.metadata,
            extra={**self.extra, **{name: value for name, value in named.items() if value is not UNSET}},
        )

    def grace(self) -> float | None:
        """Seconds from the last owner reader's departure to the cancel; None: never."""
        return self.grace_of(streamed=self.stream)

    def grace_of(self, *, streamed: bool) -> float | None:
        """The grace in seconds of an answer that is streamed or not; None: never."""
        if isinstance(self.on_disconnect, Grace):
            return self.on_disconnect.grace_seconds
        if self.on_disconnect is not None:
            return None if self.on_disconnect == "keep" else 0
        if self.background:
            return None
        return 60 if streamed else 0

    def batch_policy(self, default: BatchPolicy) -> BatchPolicy:
        """The batching of this request's delivery."""
        return default if self.batch is None else BatchPolicy(self.batch.max_tokens, self.batch.max_delay_ms)


class CancelStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The optional body of a cancel."""

    reason: Annotated[str, Meta(max_length=1024)] | None = None


RESERVED = frozenset({*CreateStream.__struct_fields__, "producer", "stream_options"})
OPAQUE = frozenset({"prompt", "messages", "extra", *PASSED_ON})
"""Members of a body that are only passed on, as a whole or in parts."""

_KINDS = {
    "prompt": ("str", "null"),
    "messages": ("array", "null"),
    "tools": ("array", "null"),
    "tool_choice": ("str", "object", "null"),
    "response_format": ("object", "null"),
    "extra": ("object",),
}
_create = msgspec.json.Decoder(CreateStream)
_cancel = msgspec.json.Decoder(CancelStream)

C = TypeVar("C", bound=CreateStream)


def parse(body: bytes) -> Steps[CreateStream]:
    """The request in a body. Raises `InvalidJson`, `UnknownField` or `InvalidValue` with its `param`."""
    fields = yield from fields_of(body)
    return (yield from request_in(fields))


def request_in(fields: Fields) -> Steps[CreateStream]:
    """The request in the members of a body. Raises as `parse` does."""
    return read_request(fields, _create)


def read_request(fields: Fields, decoder: msgspec.json.Decoder[C]) -> Steps[C]:
    """The request in a body whose `decoder` may know more members, e.g. how to answer. Raises as `parse` does."""
    parsed = yield from fields.read(decoder, OPAQUE)
    for name in OPAQUE & fields.members.keys():
        check_kind(fields.members[name], _KINDS[name], name)
    extra = yield from _extra(fields)
    _check_which(fields)
    names = ("prompt", *PASSED_ON)
    kept = {name: value for name in names if (value := fields.get(name)) is not None}
    if "tools" in kept:
        yield from fields.elements_of(kept["tools"], "tools", of="object", most=MAX_TOOLS)
    owned: dict[str, Any] = {name: fields.own(value) for name, value in kept.items()}
    if fields.get("messages") is not None:
        owned["messages"] = (yield from conversation(fields, strict=True)).messages
    return msgspec.structs.replace(parsed, **owned, extra=extra)


def _extra(fields: Fields) -> Steps[dict[str, msgspec.Raw]]:
    if "extra" not in fields.members:
        return {}
    members = yield from fields.members_of(fields.members["extra"], "extra")
    for name in members:
        # A name that this schema or the streaming itself defines would be sent twice, or evade its checks.
        if name in RESERVED:
            raise InvalidValue(f"`{name}` is a name of this schema: it stands beside `extra`", param=f"extra.{name}")
    return {name: fields.own(value) for name, value in members.items()}


def _check_which(fields: Fields) -> None:
    """Raises `InvalidValue` unless exactly one of `prompt` and `messages` is given."""
    prompt, messages = fields.get("prompt"), fields.get("messages")
    if (prompt is None) == (messages is None):
        both = prompt is not None
        raise InvalidValue(
            f"exactly one of `prompt` and `messages` must be given, not {'both' if both else 'neither'}",
            param="prompt" if both else "messages",
        )
    if prompt is not None and len(prompt) == len('""'):
        raise InvalidValue("Expected `str` of length >= 1 at `prompt`", param="prompt")


def parse_cancel(body: bytes) -> CancelStream:
    """The body of a cancel; an empty one gives no reason."""
    return parse_body(_cancel, body) if body.strip() else CancelStream()
