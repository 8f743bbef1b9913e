"""The language of the project: the events of a stream and the request that starts one.

Events are a tagged union; their JSON form `{"type": "delta", "text": "…"}` is what a log keeps and what
`?events=message` sends. `data_json` is the same without the tag: the `data` of a native SSE event. What is published
to a topic has a name of the client's choosing, which takes the tag's place only where it is sent.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
CancelledBy = Literal["client", "disconnect", "server"]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English, where nobody has counted."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens paid for. `estimated` is true where the provider did not count them itself.

    `details` is a JSON object: what else the provider has counted, under its own names.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated: bool = False
    details: msgspec.Raw | UnsetType = UNSET


class ErrorInfo(msgspec.Struct, frozen=True, gc=False):
    """Why a stream failed: the part of a `TidegateError` that is kept in the log."""

    type: str
    code: str
    message: str


class Extra(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an upstream has said beside a piece, each a JSON object of its own fields by where they stood.

    `chunk` holds until another one comes. `call` is of the tool call. `refusal` says that the text is one.
    """

    chunk: msgspec.Raw | UnsetType = UNSET
    choice: msgspec.Raw | UnsetType = UNSET
    delta: msgspec.Raw | UnsetType = UNSET
    call: msgspec.Raw | UnsetType = UNSET
    refusal: bool = False


class Started(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="started"):
    """Appended at creation, offset 1. `created_at` is in Unix seconds."""

    id: str
    model: str
    created_at: float


class Delta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="delta"):
    """A piece of the answer's text; empty where only `extra` was said."""

    text: str
    extra: Extra | UnsetType = UNSET


class Reasoning(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="reasoning"):
    """A piece of the model's reasoning."""

    text: str
    extra: Extra | UnsetType = UNSET


class ToolCall(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="tool_call"):
    """A fragment of a tool call: `id` and `name` once, `arguments` in pieces."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    extra: Extra | UnsetType = UNSET


class Completed(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="completed"):
    """Terminal: the provider has finished."""

    finish_reason: FinishReason
    usage: Usage


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="cancelled"):
    """Terminal: someone stopped it."""

    by: CancelledBy
    reason: str | None
    usage: Usage


class Failed(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="failed"):
    """Terminal: it broke."""

    error: ErrorInfo
    usage: Usage


class Published(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="published",
    rename={"sender": "from"},
):
    """What a client has published to a topic: `data` is its JSON, as `core.topic.json_data` makes it.

    `name` is the event's name on the wire, `sender` the principal, `at` in Unix seconds to the millisecond. Of those
    with `state`, the latest is the topic's current state.
    """

    data: msgspec.Raw
    sender: str
    at: float
    state: bool = False
    name: str = "message"


Content = Delta | Reasoning | ToolCall
Terminal = Completed | Cancelled | Failed
Event = Started | Content | Terminal | Published
TERMINAL_TYPES = (Completed, Cancelled, Failed)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def type_of(event: Event) -> str:
    """The event's wire name, e.g. `delta`."""
    if isinstance(event, Published):
        return event.name
    return event.__struct_config__.tag  # type: ignore[return-value]


def text_of(event: Event) -> str:
    """The piece that it adds to the answer's text, its reasoning or a call's arguments; empty where it adds none."""
    if isinstance(event, ToolCall):
        return event.arguments
    return event.text if isinstance(event, Delta | Reasoning) else ""


def encode(event: Event) -> bytes:
    """The JSON form with the tag first: `{"type":"delta","text":"…"}`."""
    return _encoder.encode(event)


def decode(data: bytes) -> Event:
    """The inverse of `encode`. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _decoder.decode(data)


def data_json(event: Event) -> bytes:
    """The JSON form without the tag: `{"text":"…"}`; of what was published, `{"data":…,"from":"…","at":…}`."""
    if isinstance(event, Published):
        return _encoder.encode(_PublishedData(event.data, event.sender, event.at, event.state))
    return b"{" + _encoder.encode(event)[len(type_of(event)) + 11 :]


def message_json(event: Event) -> bytes:
    """The JSON form with the wire name for its `type`, as `?events=message` sends it."""
    if isinstance(event, Published):
        return b'{"type":%b,%b' % (_encoder.encode(event.name), data_json(event)[1:])
    return _encoder.encode(event)


class _PublishedData(msgspec.Struct, gc=False, omit_defaults=True, rename={"sender": "from"}):
    data: msgspec.Raw
    sender: str
    at: float
    state: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One message of a conversation. `content` is text or a list of OpenAI content parts."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    function_call: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text of the message, its other parts left out."""
        if isinstance(self.content, str):
            return self.content
        texts = (part.get("text") for part in self.content or ())
        return "".join(text for text in texts if isinstance(text, str))


class Carried(msgspec.Struct, frozen=True):
    """What the log of a generation has already, from a process that is gone: its text, in so many pieces."""

    text: str
    pieces: int


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked for. Parameters that are None are the provider's own defaults.

    `extra` holds what only some upstreams understand (`tools`, `response_format`, …): a provider
    that speaks OpenAI's API passes it on, others may look at it. `raw_messages` are the messages as an OpenAI
    client has sent them, where they have fields of that kind. With `carried` the answer has begun already: only what
    follows it is emitted.
    """

    model: str
    messages: tuple[Message, ...]
    raw_messages: tuple[dict[str, Any], ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    metadata: dict[str, str] = {}
    extra: dict[str, Any] = {}
    carried: Carried | None = None

    @property
    def prompt(self) -> str:
        """The text of the last message by the user."""
        return self.question or ""

    @property
    def question(self) -> str | None:
        """The same; None where no message is the user's."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), None)

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the messages have; never none."""
        return max(1, sum(len(message.text) for message in self.messages) // CHARACTERS_PER_TOKEN)
