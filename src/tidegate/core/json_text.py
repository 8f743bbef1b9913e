"""JSON from outside: what of it not everybody could read, and what is wrong with the rest (RFC 8259)."""

from __future__ import annotations

import re

MAX_DEPTH = 100
"""Lists and objects within each other: what cannot be read by all who may have to read it is not taken."""

MAX_VALUES = 50_000
"""Of which objects are made: some 5 ms and MB. A conversation of 10,000 messages has 30,000."""

MAX_VALUES_IN_ALL = 1_000_000
"""Those included of which none are made here: an upstream has to, and skipping them takes the loop 10 ms as it is."""

FAULT_BYTES = 64 * 1024
"""So far into bytes that are no JSON it is looked what is wrong with them; of the rest the decoder's words are told."""

# From left to right, so that an escaped backslash is not taken for the beginning of another escape.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_ENCODED_HALF = re.compile(rb"\xed[\xa0-\xbf]")


def fault(error: Exception, text: bytes) -> str:
    """What is wrong with bytes that are no JSON: the decoder's words, but for a lone surrogate, which has its name."""
    text = text[:FAULT_BYTES]
    half = next((found[1].decode() for found in _ESCAPE.finditer(text) if found[1]), None)
    if half is not None:
        return f"`{half}` is a lone surrogate: half of a pair, and no character"
    if isinstance(error, UnicodeDecodeError) and _ENCODED_HALF.search(text):
        return "it has a lone surrogate, half of a pair, as bytes: that is not UTF-8"
    return str(error)
