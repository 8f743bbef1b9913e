"""Puts msgspec's errors into the words of the documentation."""

from __future__ import annotations

import re

_WORDS = (
    ("`object`", "a table"),
    ("`array`", "a list"),
    ("`str` matching regex '^[A-Za-z0-9._-]{1,64}$'", "1 to 64 letters, digits, dots, underscores and hyphens"),
    ("`str` matching regex '^[0-9a-fA-F]{64}$'", "64 hex digits"),
)
_AT = re.compile(r" - at `\$.*`$", re.DOTALL)


def in_words(problem: str) -> str:
    """msgspec's error without its path, to follow a colon."""
    said = _AT.sub("", problem)
    for theirs, ours in _WORDS:
        said = said.replace(theirs, ours)
    return said[:1].lower() + said[1:]
