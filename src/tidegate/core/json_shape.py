"""The shape of JSON, counted before anything is made of it: a byte of `[]` costs 70 of memory once it is a list. Pure.

All of it is done by what works on whole slices at the speed of C; a slice takes some milliseconds at the most. On
what is no JSON the numbers mean nothing, but up to the first fault they are right: no decoder comes further than that.
"""

from __future__ import annotations

import codecs
import re
from itertools import accumulate
from math import isinf

from tidegate.core.json_text import MAX_DEPTH, MAX_VALUES_IN_ALL
from tidegate.core.steps import Steps, finished, slices

MAX_DIGITS = 308
"""Of a whole number: one of more is beyond what a double holds, into which JavaScript reads it (RFC 8259, 6)."""

LONGEST_NUMBER = 1024
"""Characters; a double is told exactly in some 770."""

COUNTED_DEPTH = 3
"""Down to this depth it is told at which one values stand: an object, its lists, and what they hold."""

_BEYOND = 127
"""What `deepest` is at the least where it is said to be more than can be counted."""

SLOW_VALUES = 100
"""What a number far from 1, or of very many digits, counts for: it takes that much longer to be read than `1.5`."""

_SPACE = b" \t\r\n"
_NUMBER_BYTES = b"0123456789.eE+-"
_NUMBER = re.compile(rb"[0-9][0-9.eE+-]*")
_DIGITS = b"0" * (MAX_DIGITS + 1)
# Digits alike, so that a run of them is found as a text is.
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SLOW = re.compile(rb"e[+-]?0{3,}|0{300,}")
_LONG = b"0" * 300

# A bracket is two steps up or down, a comma one up and one down: after it the level is odd.
_STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\xfe\xfe")
_NO_STEPS = bytes(byte for byte in range(256) if byte not in b"[]{},")
_COMMA = b"\x01\xff"


class Shape:
    """Of JSON, fed a slice at a time: how many `values` it has, and how deep its lists and objects stand.

    `vast` says that it has a number that no double holds. The names of an object's members are no values.
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
        """Those that stand in so many lists and objects, from 1 to `COUNTED_DEPTH`."""
        return self._commas[depth]

    def feed(self, data: bytes) -> None:
        """Takes the next slice."""
        if outside := self._outside(data):
            self._count(outside)
            self._look_at_numbers(outside)

    def _outside(self, data: bytes) -> bytes:
        """What stands outside strings; a single quotation mark is left of each of those."""
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
        # What is not empty has one value more than it has commas.
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        self.values -= bare.count(b"[]") + bare.count(b"{}")
        steps = outside.translate(_STEPS, _NO_STEPS).replace(b",", _COMMA)
        if steps and self.deepest <= _BEYOND:
            self._climb(steps)

    def _climb(self, steps: bytes) -> None:
        try:
            levels = bytes(accumulate(memoryview(steps).cast("b"), initial=2 * self._level))
        except ValueError:
            # Deeper than 127, or closed more often than opened: nobody takes that.
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
    """The shape of JSON, as far as it has no more than that. Raises `UnicodeDecodeError`."""
    shape, utf8, left = Shape(), codecs.getincrementaldecoder("utf-8")(), len(text)
    for piece in slices(text):
        left -= len(piece)
        # Nothing is made of what is ASCII, as most of it is.
        if not left or not piece.isascii() or utf8.getstate()[0]:
            utf8.decode(piece, not left)
        shape.feed(piece)
        if shape.deepest > depth or shape.values > values:
            break
        if left:
            yield
    return shape


def has_more_values(text: bytes, most: int) -> Steps[bool]:
    """Whether JSON has more values than that, of which none is without a byte; its UTF-8 is not looked at."""
    if len(text) <= most:
        return False
    shape = Shape()
    for piece in slices(text):
        shape.feed(piece)
        if shape.values > most:
            return True
        yield
    return False


def shape_of(text: bytes) -> Shape:
    """The same, all at once: for what is small."""
    return finished(scan(text))


def _is_vast(number: bytes) -> bool:
    if number.isdigit():
        return len(number) > MAX_DIGITS
    try:
        return isinf(float(number))
    except ValueError:
        return False
