"""Decodes JSON bodies into typed requests, with errors that name the field."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from tidegate.core.json_shape import Shape, scan
from tidegate.core.json_text import MAX_DEPTH, MAX_VALUES, MAX_VALUES_IN_ALL, fault
from tidegate.core.steps import Steps, finished
from tidegate.errors import InvalidJson, InvalidRequest, InvalidValue, UnknownField

T = TypeVar("T")

MAX_TEXT = 256

_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")


def parse_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed content of a body whose size its route limits.

    Raises `InvalidJson`, `UnknownField` or `InvalidValue` with its `param`.
    """
    finished(measure(body, values=MAX_VALUES))
    return decode(decoder, body)


def measure(body: bytes, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES_IN_ALL) -> Steps[Shape]:
    """The shape of a body, including the parts that are only passed on. Raises `InvalidJson`."""
    try:
        shape = yield from scan(body, depth=depth, values=values)
    except UnicodeDecodeError as error:
        raise _no_json(error, body) from None
    if shape.deepest > depth:
        raise InvalidJson(f"the body is nested more than {depth} deep")
    if shape.values > values:
        raise InvalidJson(f"the body has more than {values} values")
    return shape


def check_values(values: int) -> None:
    """Raises `InvalidJson` where more than `MAX_VALUES` values would be decoded into objects."""
    if values > MAX_VALUES:
        raise InvalidJson(f"the body has more than {MAX_VALUES} values besides those that are only passed on")


def decode(decoder: msgspec.json.Decoder[T], text: bytes | msgspec.Raw, place: str | None = None) -> T:
    """The typed content of a part of a body that was measured before; `place` is the part's path. Raises as
    `parse_body`."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        found = invalid(error)
        raise found if place is None else placed(found, place) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_json(error, bytes(text)) from None


def _no_json(error: Exception, body: bytes) -> InvalidJson:
    return InvalidJson(f"the body is not valid JSON: {fault(error, body)}")


def invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec's error (`Expected `str`, got `int` - at `$.messages[0].content``) as a typed error."""
    text = str(error)
    place = _PLACE.search(text)
    path = [place[1].replace("[...]", "").replace("[", ".").replace("]", "").strip(".")] if place else []
    message = text[: place.start()] if place else text
    field = _FIELD.search(message)
    if field:
        path.append(field[1])
    param = ".".join(part for part in path if part) or None
    message = message.replace("Object contains unknown field", "unknown field")
    kind = UnknownField if field and "unknown" in message else InvalidValue
    # A field's name comes from the client, and may be a megabyte long.
    message, param = shortened(message), shortened(param) if param is not None else None
    return kind(f"{message} at `{param}`" if param and not field else message, param=param)


def placed(error: InvalidRequest, place: str) -> InvalidRequest:
    """The error with its path below `place`."""
    where = f"{place}.{error.param}" if error.param else place
    return type(error)(f"{error.message.partition(' at `')[0]} at `{where}`", param=where)


def shortened(text: str) -> str:
    """A client's text, cut to the length in which errors repeat it."""
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
