"""The language of the project: the events of a stream and the request that starts one.

Events are a tagged union; their JSON form `{"type": "delta", "text": "…"}` is what a log keeps and what
`?events=message` sends. It is made once, when the event is appended, and has no line break, since it becomes one line
of an event stream: JSON from outside is made `one_line` before it is a part of an event. `wire_form` splits the JSON
form into the name and the `data` of a native SSE event. An event published to a topic has a name that the client
chooses, which replaces the tag only when the event is sent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidegate.core.opaque import Decoded, DecodedMembers, Opaque, OpaqueMembers, begins, characters

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
CancelledBy = Literal["client", "disconnect", "server"]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English, used where the tokens were not counted."""

OBJECT: dict[str, Any] = {"anyOf": [{"type": "object"}, {"type": "null"}], "default": None}
OBJECTS: dict[str, Any] = {
    "anyOf": [{"type": "array", "items": {"type": "object"}}, {"type": "null"}],
    "default": None,
}
CONTENT: dict[str, Any] = {"anyOf": [{"type": "string"}, *OBJECTS["anyOf"]], "default": None}
"""The JSON Schemas of fields that are kept as JSON."""


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
    """Fields that an upstream has sent beside a piece: one JSON object for each place where they stood.

    `chunk` holds until another one comes. `call` has the fields of a tool call. `refusal` says that the text is a
    refusal.
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

Appendable = Event | bytes
"""What can be appended to a log: an event, or the JSON form of one, which is kept as it is."""

_TAG = b'{"type":"'
ENDS = tuple(b'%b%b"' % (_TAG, str(kind.__struct_config__.tag).encode()) for kind in TERMINAL_TYPES)
"""What the JSON forms of terminal events begin with, and no others."""

_TEXT = b'{"type":"delta","text":'
PLAIN_DELTA = _TEXT + b'"%b"}'
"""The JSON form of a delta without `extra`, around the escaped text."""

_BESIDE = b'","extra":{'
_PUBLISHED = b'%b%b"' % (_TAG, str(Published.__struct_config__.tag).encode())

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_published = msgspec.json.Decoder(Published)


def text_of(event: Event) -> str:
    """What the event adds to the answer's text, its reasoning or a call's arguments; empty if it adds nothing."""
    if isinstance(event, ToolCall):
        return event.arguments
    return event.text if isinstance(event, Delta | Reasoning) else ""


def encode(event: Event) -> bytes:
    """The JSON form with the tag first: `{"type":"delta","text":"…"}`."""
    return _encoder.encode(event)


def json_of(event: Appendable) -> bytes:
    """The JSON form, made only where it is not there yet."""
    return event if type(event) is bytes else _encoder.encode(event)


def one_line(encoded: bytes) -> bytes:
    """The JSON form without the line breaks that JSON from outside may have between its values.

    Raises `msgspec.DecodeError` where they stand within a text.
    """
    if b"\n" in encoded or b"\r" in encoded:
        return msgspec.json.format(encoded, indent=-1)
    return encoded


def decode(data: bytes) -> Event:
    """The inverse of `encode`. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _decoder.decode(data)


def plain_text(encoded: bytes) -> bytes | None:
    """The JSON of a delta's text, cut out of its JSON form; None for other events, and for a delta with `extra`.

    Nothing within a JSON string looks like what stands before `extra`: its quotes are escaped.
    """
    if encoded.startswith(_TEXT) and _BESIDE not in encoded:
        return encoded[len(_TEXT) : -1]
    return None


def wire_form(encoded: bytes) -> tuple[bytes, bytes]:
    """The wire name and the data of an event in its JSON form: `delta` and `{"text":"…"}`.

    A published event has its own name, and `{"data":…,"from":"…","at":…}`.
    """
    if encoded.startswith(_PUBLISHED):
        event = _published.decode(encoded)
        data = _encoder.encode(_PublishedData(event.data, event.sender, event.at, event.state))
        return event.name.encode(), data
    end = encoded.index(b'"', len(_TAG))
    return encoded[len(_TAG) : end], b"{" + encoded[end + 2 :]


def message_form(encoded: bytes) -> bytes:
    """The JSON form with the wire name as its `type`, as `?events=message` sends it."""
    if not encoded.startswith(_PUBLISHED):
        return encoded
    name, data = wire_form(encoded)
    return b'{"type":%b,%b' % (_encoder.encode(name.decode()), data[1:])


class _PublishedData(msgspec.Struct, gc=False, omit_defaults=True, rename={"sender": "from"}):
    data: msgspec.Raw
    sender: str
    at: float
    state: bool = False


class MessageFields(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The fields of a message; those that are `Opaque` are kept as JSON."""

    role: Role
    content: Annotated[Opaque, Meta(description="Text, or OpenAI's content parts.", extra_json_schema=CONTENT)] = UNSET
    name: str | None = None
    tool_calls: Annotated[Opaque, Meta(extra_json_schema=OBJECTS)] = UNSET
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: Annotated[Opaque, Meta(extra_json_schema=OBJECT)] = UNSET
    function_call: Annotated[Opaque, Meta(extra_json_schema=OBJECT)] = UNSET


class Message(MessageFields, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One message of a conversation. `content` is text or a list of OpenAI content parts, made when it is asked for."""

    content = Decoded(MessageFields.content)
    tool_calls = Decoded(MessageFields.tool_calls)
    audio = Decoded(MessageFields.audio)
    function_call = Decoded(MessageFields.function_call)

    def __post_init__(self) -> None:
        for field in (Message.content, Message.tool_calls, Message.audio, Message.function_call):
            field.keep(self)

    @property
    def text(self) -> str:
        """The text of the message, its other parts left out."""
        return msgspec.json.decode(self.text_json, type=str)

    @property
    def text_json(self) -> msgspec.Raw:
        """The message's text as the JSON it came in: a text of megabytes is neither decoded nor encoded again."""
        content = Message.content.of(self)
        if content is None or begins(content) != b"[":
            return msgspec.Raw(b'""') if content is None else content
        texts = (part.text for part in _parts.decode(content) if part.text is not UNSET)
        inner = (memoryview(text)[1:-1] for text in texts if begins(text) == b'"')
        return msgspec.Raw(b'"%b"' % b"".join(inner))


class _Part(msgspec.Struct):
    text: msgspec.Raw | UnsetType = UNSET


_parts: msgspec.json.Decoder[list[_Part]] = msgspec.json.Decoder(list[_Part])


class Carried(msgspec.Struct, frozen=True):
    """The part of an answer that a process which is gone has generated: its text, and in how many pieces it came."""

    text: str
    pieces: int


class RequestFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request; the members of `extra` are kept as JSON."""

    model: str
    messages: tuple[Message, ...]
    raw_messages: tuple[msgspec.Raw, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    metadata: dict[str, str] = {}
    extra: OpaqueMembers = {}
    carried: Carried | None = None


class GenerationRequest(RequestFields, frozen=True, kw_only=True):
    """What a provider is asked for. Parameters that are None are the provider's own defaults.

    `extra` has what only some upstreams understand (`tools`, `response_format`, …): a provider that speaks OpenAI's
    API passes it on as it came (`extra.raw`), others may read it: a member is decoded when it is asked for.
    `raw_messages` are the messages as an OpenAI client has sent them, if they have fields of that kind. With `carried`
    the answer has begun already, and the provider emits only what follows.
    """

    extra = DecodedMembers(RequestFields.extra)

    def __post_init__(self) -> None:
        GenerationRequest.extra.keep(self)

    @property
    def prompt(self) -> str:
        """The text of the last message by the user."""
        return self.question or ""

    @property
    def question(self) -> str | None:
        """The text of the user's last message; None where there is none."""
        found = self.question_json
        return None if found is None else msgspec.json.decode(found, type=str)

    @property
    def question_json(self) -> msgspec.Raw | None:
        """The text of the user's last message as the JSON it came in; None where there is none."""
        return next((m.text_json for m in reversed(self.messages) if m.role == "user"), None)

    @property
    def prompt_tokens(self) -> int:
        """An estimate of how many tokens the messages have, at least 1."""
        return max(1, sum(characters(message.text_json) for message in self.messages) // CHARACTERS_PER_TOKEN)
