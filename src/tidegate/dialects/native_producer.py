"""The native dialect for client streams, which their callers fill: opening one, and appending to it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from tidegate.core.events import TERMINAL_TYPES, Cancelled, Content, Event, Failed, Terminal, ToolCall
from tidegate.core.json_text import MAX_VALUES
from tidegate.core.steps import Pace, Steps
from tidegate.dialects.body import decode, invalid, placed, shortened
from tidegate.dialects.fields import Fields, fields_of
from tidegate.dialects.native import Metadata
from tidegate.errors import InvalidValue, UnknownField

EventType = Literal["delta", "reasoning", "tool_call", "completed", "cancelled", "failed"]

MAX_EVENTS = 10_000
"""The most events of one append; the limit on a body's values bounds them, too."""

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""The largest event: each reader is sent an event in one piece, and a model's events have some bytes."""

MAX_CALLS = 10_000
"""The most tool calls of one answer; models make a handful."""

MAX_WORDS = 1024
"""The most characters of each text in a terminal event, as in the `reason` of a cancel."""

_USAGE = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "estimated"})
_FIELDS: dict[EventType, Mapping[str, Container[str]]] = {
    "delta": {"text": ()},
    "reasoning": {"text": ()},
    "tool_call": {"index": (), "id": (), "name": (), "arguments": ()},
    "completed": {"finish_reason": (), "usage": _USAGE},
    "cancelled": {"by": (), "reason": (), "usage": _USAGE},
    "failed": {"error": frozenset({"type", "code", "message"}), "usage": _USAGE},
}
"""The fields that each event's data may have, and those of fields that are objects: exactly what readers get."""

NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "estimated": True}
"""The usage of a terminal event that is sent without one."""


class OpenStream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opens a stream that the caller itself fills, by `append`, within its lease."""

    producer: Literal["client"]
    metadata: Metadata = {}


class Lease(msgspec.Struct, frozen=True):
    """The right to append to a stream. Each append renews it; after `seconds` without one the stream ends."""

    token: str
    seconds: float

    @classmethod
    def of(cls, token: str | None, seconds: float) -> Lease | None:
        """The lease with this token; None without one, where an idempotency key led to a stream that has ended."""
        return None if token is None else cls(token, seconds)


class AppendedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event, in the shape in which readers get it. An end may leave out its `usage`."""

    type: EventType
    data: dict[str, Any]


class AppendPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events are appended: after the offset `expected_offset`."""

    lease: Annotated[str, Meta(min_length=1, max_length=256)]
    expected_offset: Annotated[int, Meta(ge=1, le=2**53)]


class Append(AppendPoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events that follow the offset `expected_offset`, an end last. An empty list only renews the lease."""

    events: Annotated[tuple[AppendedEvent, ...], Meta(max_length=MAX_EVENTS)]


_open = msgspec.json.Decoder(OpenStream)
_place = msgspec.json.Decoder(AppendPoint)
_appended = msgspec.json.Decoder(AppendedEvent)


def open_in(fields: Fields) -> Steps[OpenStream | None]:
    """The request in a body that names a `producer`; None for any other. Raises as `native.parse` does."""
    return None if fields.get("producer") is None else (yield from fields.read(_open, ()))


def parse_append(body: bytes) -> Steps[tuple[AppendPoint, list[Content | Terminal]]]:
    """The body and its events. Raises `InvalidJson`, `UnknownField` or `InvalidValue` with its `param`."""
    fields = yield from fields_of(body, values=MAX_VALUES)
    place = yield from fields.read(_place, ("events",))
    elements = yield from fields.elements_of(fields.required("events"), "events", most=MAX_EVENTS)
    found: list[Content | Terminal] = []
    pace = Pace()
    for index, element in enumerate(elements):
        if pace.is_over(len(element)):
            yield
        found.append(_event(_sent(element, f"events.{index}"), index))
    for index, event in enumerate(found[:-1]):
        if isinstance(event, TERMINAL_TYPES):
            raise InvalidValue("nothing can follow the end of a stream", param=f"events.{index + 1}")
    return place, found


def _sent(element: msgspec.Raw, place: str) -> AppendedEvent:
    if len(element) > MAX_EVENT_BYTES:
        raise InvalidValue(f"an event is longer than {MAX_EVENT_BYTES} bytes at `{place}`", param=place)
    return decode(_appended, element, place)


def _event(sent: AppendedEvent, index: int) -> Content | Terminal:
    data = {"usage": NO_USAGE, **sent.data} if sent.type in ("completed", "cancelled", "failed") else sent.data
    if "type" in data:
        raise InvalidValue("an event's type stands beside its data", param=f"events.{index}.data.type")
    _check_fields(sent, f"events.{index}.data")
    try:
        event = cast("Content | Terminal", msgspec.convert({"type": sent.type, **data}, Event))
    except msgspec.ValidationError as error:
        found = invalid(error)
        raise placed(found, f"events.{index}.data") from None
    _check_numbers(event, f"events.{index}.data")
    return event


def _check_fields(sent: AppendedEvent, place: str) -> None:
    """Raises `UnknownField`: unlike a log, which a later version may have written, a producer must not send unknown
    fields."""
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
    """Limits the texts of a terminal event, since lists of streams have the terminal events of all of them."""
    words: dict[str, str] = {}
    if isinstance(end, Failed):
        words = {f"error.{name}": getattr(end.error, name) for name in ("type", "code", "message")}
    elif isinstance(end, Cancelled):
        words = {"reason": end.reason or ""}
    for name, text in words.items():
        if len(text) > MAX_WORDS:
            where = f"{place}.{name}"
            raise InvalidValue(f"a text at an end has {MAX_WORDS} characters at the most, at `{where}`", param=where)
