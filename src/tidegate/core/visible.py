"""Text from outside as a terminal, or a log, may have it."""

from __future__ import annotations

import re

# A terminal obeys C0 but tab and newline, DEL, and C1, which is what ECMA-48 writes `ESC [` as in one character.
# Bidi embeddings, overrides and isolates (UAX 9, 2) make the order of what is read another than that of what is there;
# U+2028 and U+2029 begin a line for many readers of logs; a lone surrogate is no text at all.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The same text with every character that steers as its escape: `\\x1b`, `\\r`, `\\u202e`.

    Each is replaced by itself, so a sequence cut in two is as harmless as a whole one. Newlines and tabs stay.
    """
    return UNSAFE.sub(_escape, text)


def visible_line(text: str) -> str:
    """The same as one line: newlines are escapes, too."""
    return visible(text).replace("\n", "\\n")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
