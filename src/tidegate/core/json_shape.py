"""Counts the values and the depth of JSON before it is decoded: a byte of `[]` costs 70 of memory as a list. Pure.

The text is counted in slices, with functions that run at the speed of C; a slice takes at most some milliseconds. For
bytes that are no JSON the counts mean nothing after the first fault, but no decoder gets further than that.
"""

from __future__ import annotations

import codecs
import re
from itertools import accumulate
from math import isinf

from tidegate.core.json_text import MAX_DEPTH, MAX_VALUES_IN_ALL
from tidegate.core.steps import Steps, slices

MAX_DIGITS = 308
"""Digits of an integer: one with more is larger than a double, into which JavaScript reads it (RFC 8259, 6)."""

LONGEST_NUMBER = 1024
"""Characters of a number; some 770 are enough to write any double exactly."""

COUNTED_DEPTH = 3
"""Down to this depth commas are counted by depth: an object, its lists, and their elements."""

_BEYOND = 127
"""The greatest depth that can be counted; `deepest` is larger where the text is deeper."""

SLOW_VALUES = 100
"""As how many values a number far from 1, or with very many digits, counts: decoding it takes so much longer."""

_SPACE = b" \t\r\n"
_NUMBER_BYTES = b"0123456789.eE+-"
_NUMBER = re.compile(rb"[0-9][0-9.eE+-]*")
_DIGITS = b"0" * (MAX_DIGITS + 1)
# Makes all digits 0, so that a run of them can be found by `in`.
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SLOW = re.compile(rb"e[+-]?0{3,}|0{300,}")
_LONG = b"0" * 300

# A bracket is two steps up or down, a comma one up and one down: after it the level is odd.
_STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\xfe\xfe")
_NO_STEPS = bytes(byte for byte in range(256) if byte not in b"[]{},")
_COMMA = b"\x01\xff"


class Shape:
    """The shape of a JSON text, fed a slice at a time: how many `values` it has, and how deeply they are nested.

    `vast` says that it has a number that no double can hold. The names of an object's members do not count as values.
    """

    def __init__(self) -> None:
        self.values = 1
        self.deepest = 0
        self.vast = False
        self._commas = [0] * (COUNTED_DEPTH + 1)
        self._level = 0
        self._in_string = False
        self._escape = b""
        self._open = b""
        self._number = b""

    def commas(self, depth: int) -> int:
        """How many commas are at this depth, from 1 to `COUNTED_DEPTH`."""
        return self._commas[depth]

    def feed(self, data: bytes) -> None:
        """Counts the next slice."""
        if outside := self._outside(data):
            self._count(outside)
            self._look_at_numbers(outside)

    def _outside(self, data: bytes) -> bytes:
        """The text outside strings; of each string one quotation mark is left."""
        if self._escape or b"\\" in data:
            # From left to right, so that an escaped backslash is not taken for the beginning of another escape.
            data = (self._escape + data).replace(b"\\\\", b"")
            self._escape = b"\\" if data.endswith(b"\\") else b""
            data = data.replace(b'\\"', b"")
        if b'"' not in data:
            return b"" if self._in_string else data
        parts = data.split(b'"')
        outside = b'"'.join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        return outside + b'"' if self._in_string else outside

    def _count(self, outside: bytes) -> None:
        bare = self._open + outside.translate(None, _SPACE)
        self._open = bare[-1:] if bare[-1:] in (b"[", b"{") else b""
        # A list or object that is not empty has one value more than it has commas.
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        self.values -= bare.count(b"[]") + bare.count(b"{}")
        steps = outside.translate(_STEPS, _NO_STEPS).replace(b",", _COMMA)
        if steps and self.deepest <= _BEYOND:
            self._climb(steps)

    def _climb(self, steps: bytes) -> None:
        try:
            levels = bytes(accumulate(memoryview(steps).cast("b"), initial=2 * self._level))
        except ValueError:
            # Deeper than 127, or closed more often than opened: always refused.
            self.deepest = _BEYOND + 1
            return
        self._level = levels[-1] // 2
        self.deepest = max(self.deepest, max(levels) // 2)
        for depth in range(1, COUNTED_DEPTH + 1):
            self._commas[depth] += levels.count(2 * depth + 1)

    def _look_at_numbers(self, outside: bytes) -> None:
        text = self._number + outside
        alike = text.translate(_ALIKE)
        if b"e" in alike or _LONG in alike:
            self.values += SLOW_VALUES * sum(1 for _ in _SLOW.finditer(alike))
        if _DIGITS in alike or b"e000" in alike or b"e+000" in alike:
            self.vast = self.vast or any(_is_vast(number) for number in _NUMBER.findall(text))
        # A number may go on in the next slice.
        self._number = text[len(text.rstrip(_NUMBER_BYTES)) :]
        if len(self._number) > LONGEST_NUMBER:
            self.vast, self._number = True, b""


def scan(text: bytes, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES_IN_ALL) -> Steps[Shape]:
    """The shape of a JSON text; counting stops once it exceeds `depth` or `values`. Raises `UnicodeDecodeError`."""
    shape, utf8, left = Shape(), codecs.getincrementaldecoder("utf-8")(), len(text)
    for piece in slices(text):
        left -= len(piece)
        # ASCII, which most slices are, needs no check.
        if not left or not piece.isascii() or utf8.getstate()[0]:
            utf8.decode(piece, not left)
        shape.feed(piece)
        if shape.deepest > depth or shape.values > values:
            break
        if left:
            yield
    return shape


def has_more_values(text: bytes, most: int) -> Steps[bool]:
    """Whether a JSON text has more than `most` values; its UTF-8 is not checked."""
    if len(text) <= most:
        return False
    shape = Shape()
    for piece in slices(text):
        shape.feed(piece)
        if shape.values > most:
            return True
        yield
    return False


def _is_vast(number: bytes) -> bool:
    if number.isdigit():
        return len(number) > MAX_DIGITS
    try:
        return isinf(float(number))
    except ValueError:
        return False
