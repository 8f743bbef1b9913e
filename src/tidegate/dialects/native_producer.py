"""The native dialect for those who fill a stream themselves: opening it, and appending to it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from tidegate.core.events import TERMINAL_TYPES, Cancelled, Content, Event, Failed, Terminal, ToolCall
from tidegate.dialects.body import invalid, parse_body, shortened
from tidegate.dialects.native import Metadata
from tidegate.errors import InvalidRequest, InvalidValue, UnknownField

EventType = Literal["delta", "reasoning", "tool_call", "completed", "cancelled", "failed"]

MAX_CALLS = 10_000
"""Tool calls of one answer; models make a handful."""

MAX_WORDS = 1024
"""Characters of each text at an end, as of the `reason` of a cancel."""

_USAGE = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "estimated"})
_FIELDS: dict[EventType, Mapping[str, Container[str]]] = {
    "delta": {"text": ()},
    "reasoning": {"text": ()},
    "tool_call": {"index": (), "id": (), "name": (), "arguments": ()},
    "completed": {"finish_reason": (), "usage": _USAGE},
    "cancelled": {"by": (), "reason": (), "usage": _USAGE},
    "failed": {"error": frozenset({"type", "code", "message"}), "usage": _USAGE},
}
"""What the data of each event may have, and what those of it that are objects may have: what readers get of it."""

NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "estimated": True}
"""Of an end that does not say what was paid."""


class OpenStream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generation that the caller itself fills, by `append`, within its lease."""

    producer: Literal["client"]
    metadata: Metadata = {}


class Lease(msgspec.Struct, frozen=True):
    """The right to append: an append renews it, and after so many seconds without one the stream ends."""

    token: str
    seconds: float

    @classmethod
    def of(cls, token: str | None, seconds: float) -> Lease | None:
        """None where an idempotency key led to a stream that has ended."""
        return None if token is None else cls(token, seconds)


class AppendedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event, in the shape in which readers get it. An end may leave out its `usage`."""

    type: EventType
    data: dict[str, Any]


class Append(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events that follow the offset `expected_offset`, an end last. None at all only renews the lease."""

    lease: Annotated[str, Meta(min_length=1, max_length=256)]
    expected_offset: Annotated[int, Meta(ge=1, le=2**53)]
    events: Annotated[tuple[AppendedEvent, ...], Meta(max_length=10_000)]


class _Kind(msgspec.Struct, frozen=True):
    producer: Any = None


_kind = msgspec.json.Decoder(_Kind)
_open = msgspec.json.Decoder(OpenStream)
_append = msgspec.json.Decoder(Append)


def parse_open(body: bytes) -> OpenStream | None:
    """The request in a body that names a `producer`; None for any other. Raises as `native.parse` does."""
    return parse_body(_open, body) if parse_body(_kind, body).producer is not None else None


def parse_append(body: bytes) -> tuple[Append, list[Content | Terminal]]:
    """The body and its events. Raises `InvalidJson`, `UnknownField` or `InvalidValue` with its `param`."""
    parsed = parse_body(_append, body)
    found = [_event(event, index) for index, event in enumerate(parsed.events)]
    for index, event in enumerate(found[:-1]):
        if isinstance(event, TERMINAL_TYPES):
            raise InvalidValue("nothing can follow the end of a stream", param=f"events.{index + 1}")
    return parsed, found


def _event(sent: AppendedEvent, index: int) -> Content | Terminal:
    data = {"usage": NO_USAGE, **sent.data} if sent.type in ("completed", "cancelled", "failed") else sent.data
    if "type" in data:
        raise InvalidValue("an event's type stands beside its data", param=f"events.{index}.data.type")
    _check_fields(sent, f"events.{index}.data")
    try:
        event = cast("Content | Terminal", msgspec.convert({"type": sent.type, **data}, Event))
    except msgspec.ValidationError as error:
        found = invalid(error)
        raise _placed(found, f"events.{index}.data") from None
    _check_numbers(event, f"events.{index}.data")
    return event


def _check_fields(sent: AppendedEvent, place: str) -> None:
    """A log may have fields that only a later version knows; a producer may not. Raises `UnknownField`."""
    known = _FIELDS[sent.type]
    for name, value in sent.data.items():
        inner: Iterable[str] = cast("dict[str, Any]", value) if isinstance(value, dict) and known.get(name) else ()
        unknown = [name] if name not in known else [f"{name}.{each}" for each in inner if each not in known[name]]
        if unknown:
            where = shortened(f"{place}.{unknown[0]}")
            raise UnknownField(f"an event of type {sent.type!r} has no field `{where}`", param=where)


def _check_numbers(event: Content | Terminal, place: str) -> None:
    if isinstance(event, ToolCall) and not 0 <= event.index <= MAX_CALLS:
        raise InvalidValue(f"an index is from 0 to {MAX_CALLS}, at `{place}.index`", param=f"{place}.index")
    if isinstance(event, TERMINAL_TYPES):
        _check_words(event, place)
        usage = event.usage
        if not all(0 <= n < 2**53 for n in (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)):
            raise InvalidValue(f"tokens are counted from 0, at `{place}.usage`", param=f"{place}.usage")


def _check_words(end: Terminal, place: str) -> None:
    """Lists of streams have the ends of all of them, and must not grow with them."""
    words: dict[str, str] = {}
    if isinstance(end, Failed):
        words = {f"error.{name}": getattr(end.error, name) for name in ("type", "code", "message")}
    elif isinstance(end, Cancelled):
        words = {"reason": end.reason or ""}
    for name, text in words.items():
        if len(text) > MAX_WORDS:
            where = f"{place}.{name}"
            raise InvalidValue(f"a text at an end has {MAX_WORDS} characters at the most, at `{where}`", param=where)


def _placed(error: InvalidRequest, place: str) -> InvalidRequest:
    where = f"{place}.{error.param}" if error.param else place
    return type(error)(f"{error.message.partition(' at `')[0]} at `{where}`", param=where)
