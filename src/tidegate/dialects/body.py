"""JSON bodies into typed requests, with errors that name the field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tidegate.core.events import Message
from tidegate.core.json_text import MAX_DEPTH, fault, is_deep
from tidegate.errors import InvalidJson, InvalidRequest, InvalidValue, UnknownField

T = TypeVar("T")

MAX_TEXT = 256

_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")


def parse_body(decoder: msgspec.json.Decoder[T], body: bytes, *, depth: int = MAX_DEPTH) -> T:
    """The typed content of a body. Raises `InvalidJson`, `UnknownField` or `InvalidValue` with its `param`."""
    try:
        parsed = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(f"the body is not valid JSON: {fault(error, body)}") from None
    except RecursionError:
        raise _too_deep(depth) from None
    if is_deep(body, depth):
        raise _too_deep(depth)
    return parsed


def _too_deep(depth: int) -> InvalidJson:
    return InvalidJson(f"the body is nested more than {depth} deep")


def convert(value: object, kind: type[T]) -> T:
    """The same for a body that was decoded before."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def check_messages(messages: Sequence[Message]) -> None:
    """Every message says something: an assistant may do so beside its `content`. Raises `InvalidValue`."""
    for index, message in enumerate(messages):
        place = f"messages.{index}.content"
        if message.content is None and message.role not in ("assistant", "function"):
            raise InvalidValue(f"messages.{index} has no content", param=place)
        if isinstance(message.content, list):
            for number, part in enumerate(message.content):
                _check_part(part, f"{place}.{number}")


def _check_part(part: dict[str, Any], place: str) -> None:
    if not isinstance(part.get("type"), str):
        raise InvalidValue(f"a content part has a `type`, at `{place}`", param=f"{place}.type")
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise InvalidValue(f"a part of type `text` has a text, at `{place}`", param=f"{place}.text")


def invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec's words (`Expected `str`, got `int` - at `$.messages[0].content``) as a typed error."""
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
    # A name is the client's own, and may be a megabyte long.
    message, param = shortened(message), shortened(param) if param is not None else None
    return kind(f"{message} at `{param}`" if param and not field else message, param=param)


def shortened(text: str) -> str:
    """What a client has sent, as far as it is said again."""
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
