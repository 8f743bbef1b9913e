"""JSON from outside, read as far as it can be understood. Pure.

RFC 8259 has no NaN, no control characters within a string and no lone surrogates, and its texts are UTF-8. Servers
send all of them, and most often in a field that nobody needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

CONSTANTS = {"NaN": None, "Infinity": None, "-Infinity": -9999.0}
"""What stands for numbers that JSON does not have; the last is OpenAI's own for a log probability too small to say."""

LONGEST_INTEGER = 19
"""Digits. No count is longer, and int() takes a time that is quadratic in them."""

MAX_VALUES = 50_000
"""In one text: objects take a hundred times the bytes that they are written in, and a busy decoder holds up everybody.
The largest whole answers, with the log probabilities of all of their tokens, come near to it."""

SMALL_BYTES = 65_536
"""Too small a text for so many values that it would matter."""

BIGGEST = 2**53
"""Counts from here on are mistakes: not every reader of JSON could tell them apart (RFC 8259, 6)."""


def loads(data: bytes) -> Any:
    """The value. Malformed UTF-8 becomes U+FFFD; a lone surrogate stays one, its other half may come in another text.

    Raises `ValueError` where it has more than `MAX_VALUES`, and that or `RecursionError` where it cannot be told what
    was meant.
    """
    if len(data) > SMALL_BYTES:
        _check_values(data)
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _patient.decode(data.decode("utf-8", "replace").removeprefix("\ufeff").strip())


def dumps(value: object) -> bytes:
    """The JSON of what `loads` has read; halves of characters become U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(value))


def as_object(value: object) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """The value where it is an array, else an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def count(value: object) -> int | None:
    """A count, however it was written: `7`, `7.0`, `"7"`. None where it is none."""
    if isinstance(value, str) and len(value) <= LONGEST_INTEGER and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < BIGGEST:
        return None
    return int(value)


def whole_characters(text: str) -> tuple[str, str]:
    """The text `mended`, but for a half of a character at its very end: that one waits for the other."""
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    return mended(text[: len(text) - len(half)]), half


def mended(text: str) -> str:
    """The text with the halves of its characters joined; a half that stands alone becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _mended(value: object) -> object:
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [_mended(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {mended(key): _mended(each) for key, each in cast("dict[str, object]", value).items()}
    return value


def _check_values(data: bytes) -> None:
    if _marks(data) <= MAX_VALUES:
        return
    # Prose is full of commas. More strings than this would be values, too, however many marks are in them.
    if data.count(b'"') - data.count(b'\\"') > 4 * MAX_VALUES or _marks(_STRING.sub(b"", data)) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")


def _marks(data: bytes) -> int:
    """No text has more values than these."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_patient = json.JSONDecoder(strict=False, parse_int=_integer, parse_constant=CONSTANTS.__getitem__)
