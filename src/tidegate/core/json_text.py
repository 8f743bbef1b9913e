"""JSON from outside: what of it not everybody could read, and what is wrong with the rest (RFC 8259)."""

from __future__ import annotations

import re

MAX_DEPTH = 100
"""Lists and objects within each other: what cannot be read by all who may have to read it is not taken."""

MAX_DIGITS = 308
"""Of a whole number: one of more is beyond what a double holds, into which JavaScript reads it (RFC 8259, 6)."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"(?<![.\d])\d{%d}" % (MAX_DIGITS + 1))
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ROUND = bytes.maketrans(b"{}", b"[]")

# From left to right, so that an escaped backslash is not taken for the beginning of another escape.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_ENCODED_HALF = re.compile(rb"\xed[\xa0-\xbf]")


def is_deep(text: bytes, depth: int = MAX_DEPTH) -> bool:
    """Whether valid JSON has more than `depth` lists and objects within each other."""
    # Few brackets cannot be deep.
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    left = _STRING.sub(b"", text).translate(_ROUND, _NO_BRACKETS)
    for _ in range(depth):
        left = left.replace(b"[]", b"")
    return bool(left)


def has_long_number(text: bytes) -> bool:
    """Whether valid JSON has a whole number that no double can hold."""
    return _LONG_NUMBER.search(text) is not None and _LONG_NUMBER.search(_STRING.sub(b"", text)) is not None


def fault(error: Exception, text: bytes) -> str:
    """What is wrong with bytes that are no JSON: the decoder's words, but for a lone surrogate, which has its name."""
    half = next((found[1].decode() for found in _ESCAPE.finditer(text) if found[1]), None)
    if half is not None:
        return f"`{half}` is a lone surrogate: half of a pair, and no character"
    if isinstance(error, UnicodeDecodeError) and _ENCODED_HALF.search(text):
        return "it has a lone surrogate, half of a pair, as bytes: that is not UTF-8"
    return str(error)
