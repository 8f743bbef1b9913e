"""JSON from outside: limits that make sure that everybody can read it, and what is wrong with bytes that are no JSON
(RFC 8259)."""

from __future__ import annotations

import re

MAX_DEPTH = 100
"""How deeply lists and objects may be nested: JSON that not every reader could decode is refused."""

MAX_VALUES = 50_000
"""Values that are decoded into objects, in some 5 ms and 5 MB. A conversation of 10,000 messages has 30,000 values."""

MAX_VALUES_IN_ALL = 1_000_000
"""Values with those that are only passed on: an upstream has to decode them, and skipping them takes 10 ms here."""

FAULT_BYTES = 64 * 1024
"""How many bytes of an invalid text are searched for a lone surrogate; otherwise the decoder's own message is used."""

# From left to right, so that an escaped backslash is not taken for the beginning of another escape.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_ENCODED_HALF = re.compile(rb"\xed[\xa0-\xbf]")


def fault(error: Exception, text: bytes) -> str:
    """What is wrong with bytes that are no JSON: the decoder's message, but a lone surrogate is named as such."""
    text = text[:FAULT_BYTES]
    half = next((found[1].decode() for found in _ESCAPE.finditer(text) if found[1]), None)
    if half is not None:
        return f"`{half}` is a lone surrogate: half of a pair, and no character"
    if isinstance(error, UnicodeDecodeError) and _ENCODED_HALF.search(text):
        return "it has a lone surrogate, half of a pair, as bytes: that is not UTF-8"
    return str(error)
