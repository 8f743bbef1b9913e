"""The native dialect over WebSocket: the calls of clients and their answers, as JSON text or MessagePack.

Both encode the same maps. A call has an `id` that the client chooses, and its answer has the same `id`.
"""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any, Protocol, cast

import msgspec
from msgspec import Meta

from tidegate.core import msgpack_shape
from tidegate.core.json_shape import has_more_values
from tidegate.core.json_text import MAX_VALUES, fault
from tidegate.core.steps import Steps
from tidegate.core.topic import json_data
from tidegate.dialects.body import invalid
from tidegate.dialects.fields import fields_of
from tidegate.dialects.native import CreateStream, read_request
from tidegate.dialects.native_producer import OpenStream
from tidegate.errors import InvalidValue, MalformedMessage, TidegateError

MOST = int(sys.float_info.max)

CallId = str | int | float | None
"""Any JSON string, number or null; the answer has the same."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Key = Annotated[str, Meta(min_length=1, max_length=255)]


class Call(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """The fields of every call."""

    id: CallId


class Create(CreateStream, frozen=True, kw_only=True, tag_field="op", tag="create", forbid_unknown_fields=True):
    """Starts a generation; `key` makes a repeated call lead to the same one."""

    id: CallId
    attach: bool = True
    key: Key | None = None

    def grace(self) -> float | None:
        """The grace of a streamed answer, whatever `stream` says, unless nothing is attached."""
        if self.on_disconnect is None and not self.attach:
            return None
        return self.grace_of(streamed=True)

    def plain(self) -> CreateStream:
        """The request alone, without the fields of the call."""
        return CreateStream(**{name: getattr(self, name) for name in CreateStream.__struct_fields__})


class Open(OpenStream, frozen=True, kw_only=True, tag_field="op", tag="create", forbid_unknown_fields=True):
    """Opens a client stream, which the caller itself fills; `key` makes a repeated call lead to the same one."""

    id: CallId
    attach: bool = True
    key: Key | None = None

    def plain(self) -> OpenStream:
        """The request alone, without the fields of the call."""
        return OpenStream(producer=self.producer, metadata=self.metadata)


class Attach(Call, frozen=True, kw_only=True, tag="attach"):
    """Follows a stream after a cursor, or from the beginning; with `snapshot` a snapshot replaces the events so far."""

    stream: Name
    after: str | None = None
    snapshot: bool = False


class Detach(Call, frozen=True, kw_only=True, tag="detach"):
    """Stops following a stream."""

    stream: Name


class Cancel(Call, frozen=True, kw_only=True, tag="cancel"):
    """Ends a stream; answered once it has ended."""

    stream: Name
    reason: Annotated[str, Meta(max_length=1024)] | None = None


class Subscribe(Call, frozen=True, kw_only=True, tag="subscribe"):
    """Follows a topic after a cursor, from `earliest`, or from `latest`."""

    topic: Name
    after: str | None = None


class Unsubscribe(Call, frozen=True, kw_only=True, tag="unsubscribe"):
    """Stops following a topic."""

    topic: Name


class Publish(Call, frozen=True, kw_only=True, tag="publish"):
    """Publishes to a topic; `key` makes a repeated call count once. `request` turns `data` into JSON."""

    topic: Name
    data: Any
    type: str = "message"
    state: bool = False
    key: Key | None = None


class Presence(Call, frozen=True, kw_only=True, tag="presence"):
    """Asks who is subscribed to a topic."""

    topic: Name


class Auth(Call, frozen=True, kw_only=True, tag="auth"):
    """Authenticates the caller: at first, or with a new token when the old one is about to expire."""

    token: Annotated[str, Meta(min_length=1, max_length=8192)]


class Ping(Call, frozen=True, kw_only=True, tag="ping"):
    """Asks for an answer."""


Request = Create | Open | Attach | Detach | Cancel | Subscribe | Unsubscribe | Publish | Presence | Auth | Ping
OPS: dict[str, type[Request]] = {
    kind.__struct_config__.tag: kind  # type: ignore[misc]
    for kind in (Create, Attach, Detach, Cancel, Subscribe, Unsubscribe, Publish, Presence, Auth, Ping)
}


class Codec(Protocol):
    """One subprotocol. `binary` says that its messages are binary ones."""

    @property
    def subprotocol(self) -> str: ...

    @property
    def form(self) -> str: ...

    @property
    def binary(self) -> bool: ...

    def is_dense(self, message: bytes, /) -> Steps[bool]:
        """Whether a message has more than `MAX_VALUES` values."""
        ...

    def decode(self, message: bytes, /) -> Any:
        """The value of a message. Raises `msgspec.DecodeError`."""
        ...

    def embedded(self, json: bytes, /) -> object:
        """JSON as a value that `encode` accepts as a part."""
        ...

    def encode(self, value: object, /) -> bytes: ...


class Json:
    """`tidegate.v1`: JSON in text messages."""

    subprotocol = "tidegate.v1"
    form = "JSON"
    binary = False
    decode = staticmethod(msgspec.json.Decoder().decode)
    encode = staticmethod(msgspec.json.Encoder().encode)

    def is_dense(self, message: bytes, /) -> Steps[bool]:
        return has_more_values(message, MAX_VALUES)

    def embedded(self, json: bytes, /) -> object:
        return msgspec.Raw(json)


_decoder = msgspec.json.Decoder(Create)
_pack = msgspec.msgpack.Encoder().encode


class MessagePack:
    """`tidegate.v1.msgpack`: MessagePack in binary messages."""

    subprotocol = "tidegate.v1.msgpack"
    form = "MessagePack"
    binary = True
    decode = staticmethod(msgspec.msgpack.Decoder().decode)

    def is_dense(self, message: bytes, /) -> Steps[bool]:
        return msgpack_shape.has_more_values(message, MAX_VALUES)

    def embedded(self, json: bytes, /) -> object:
        return msgspec.json.decode(json)

    def encode(self, value: object, /) -> bytes:
        """Encodes a value; integers beyond 64 bits, which JSON allows, become floats, as in JavaScript."""
        try:
            return _pack(value)
        except OverflowError:
            return _pack(_narrowed(msgspec.to_builtins(value)))


_BOTH: tuple[Codec, ...] = (Json(), MessagePack())
CODECS = {codec.subprotocol: codec for codec in _BOTH}


def parse(codec: Codec, message: bytes) -> Steps[tuple[CallId, str, dict[str, Any]]]:
    """The id and the op of a message, and its value. Raises `MalformedMessage` if it is no call, or has more than
    `MAX_VALUES` values; those of a part that is only passed on count, too.
    """
    try:
        if (yield from codec.is_dense(message)):
            raise MalformedMessage(f"this message has more than {MAX_VALUES} values")
        value = codec.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = "" if codec.binary else f": {fault(error, message)}"
        raise MalformedMessage(f"this message is no valid {codec.form}{why}") from None
    try:
        head = msgspec.convert(value, _Head)
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"a message is a map with `id` and `op`: {error}") from None
    if isinstance(head.id, float) and not math.isfinite(head.id):
        raise MalformedMessage("an `id` is a string, a number or null: JSON has no other")
    return head.id, head.op, value


def request(codec: Codec, op: str, message: dict[str, Any]) -> Steps[Request]:
    """The call that a message in this codec makes. Raises `InvalidValue` or `UnknownField`, with its `param`."""
    kind = OPS.get(op)
    if kind is None:
        raise InvalidValue(f"there is no op {op[:64]!r}; there are {', '.join(OPS)}", param="op")
    if kind is Create:
        if message.get("producer") is None:
            return (yield from _create(codec, message))
        kind = Open
    try:
        made = msgspec.convert(message, kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    if isinstance(made, Publish):
        data = yield from _as_json(codec, made.data, param="data")
        return msgspec.structs.replace(made, data=(yield from json_data(data)))
    return made


def _create(codec: Codec, message: dict[str, Any]) -> Steps[Create]:
    """The call `create`; its parts that are only passed on are kept as JSON, in either subprotocol."""
    fields = yield from fields_of((yield from _as_json(codec, message)))
    return (yield from read_request(fields, _decoder))


def ok(id: CallId, result: object) -> dict[str, object]:
    """The answer to a call."""
    return {"id": id, "ok": result}


def refusal(id: CallId | None, error: TidegateError, request_id: str | None) -> dict[str, object]:
    """The answer to a call that failed; `retry_after_ms` says when it may be tried again."""
    body = dict(error.body(request_id)["error"])
    if error.retry_after is not None:
        body["retry_after_ms"] = round(error.retry_after * 1000)
    return {"id": id, "error": body}


def _as_json(codec: Codec, value: object, *, param: str | None = None) -> Steps[bytes]:
    """The value as JSON. Raises `InvalidValue` for a MessagePack value that JSON cannot hold, and that msgspec would
    replace by another, e.g. NaN by null."""
    try:
        yield
        encoded = msgspec.json.encode(value)
        if not codec.binary:
            # It came as JSON, of which msgspec makes the same JSON.
            return encoded
        yield
        again = msgspec.json.decode(encoded)
        yield
        if again == value:
            return encoded
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    raise InvalidValue(f"{f'`{param}`' if param else 'the message'} is nothing that JSON can hold", param=param)


class _Head(msgspec.Struct):
    id: CallId
    op: str


def _narrowed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _narrowed(inner) for key, inner in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_narrowed(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < MOST else math.copysign(math.inf, value)
    return value
