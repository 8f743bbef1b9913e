"""A lenient reader for JSON from outside. Pure.

RFC 8259 allows no NaN, no control characters within a string and no lone surrogates, and its texts are UTF-8. Servers
send all of these faults, and most often in a field that nobody needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

CONSTANTS = {"NaN": None, "Infinity": None, "-Infinity": -9999.0}
"""What replaces numbers that JSON does not have; the last value is OpenAI's for a log probability that is too small."""

LONGEST_INTEGER = 19
"""Digits of an integer. No count is longer, and int() takes quadratic time."""

MAX_VALUES = 50_000
"""Values in one text: objects take a hundred times the bytes of their JSON, and a busy decoder blocks everybody. The
largest whole answers, with the log probabilities of all their tokens, come near this limit."""

SMALL_BYTES = 65_536
"""Texts up to this size are too small to have a harmful number of values."""

BIGGEST = 2**53
"""A count this large or larger is a mistake: not every JSON reader could represent it exactly (RFC 8259, 6)."""


def loads(data: bytes) -> Any:
    """The value. Malformed UTF-8 becomes U+FFFD; a lone surrogate stays one, since its other half may come in the next
    text.

    Raises `ValueError` for more than `MAX_VALUES` values, and `ValueError` or `RecursionError` for a text that cannot
    be understood.
    """
    if len(data) > SMALL_BYTES:
        _check_values(data)
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _patient.decode(data.decode("utf-8", "replace").removeprefix("\ufeff").strip())


def dumps(value: object) -> bytes:
    """The JSON of a value that `loads` has read; lone surrogates become U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(value))


def as_object(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty object."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """The value if it is an array, else an empty array."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def count(value: object) -> int | None:
    """The value as a count, however it was written: `7`, `7.0`, `"7"`. None if it is no count."""
    if isinstance(value, str) and len(value) <= LONGEST_INTEGER and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < BIGGEST:
        return None
    return int(value)


def whole_characters(text: str) -> tuple[str, str]:
    """The text `mended`, without a high surrogate at its end; and that surrogate, which waits for its other half."""
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    return mended(text[: len(text) - len(half)]), half


def mended(text: str) -> str:
    """The text with its surrogate pairs joined; a lone surrogate becomes U+FFFD."""
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
    # Prose is full of commas, so strings are left out; more strings than this are too many values by themselves.
    if data.count(b'"') - data.count(b'\\"') > 4 * MAX_VALUES or _marks(_STRING.sub(b"", data)) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")


def _marks(data: bytes) -> int:
    """An upper bound of the number of values, less one."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_patient = json.JSONDecoder(strict=False, parse_int=_integer, parse_constant=CONSTANTS.__getitem__)
