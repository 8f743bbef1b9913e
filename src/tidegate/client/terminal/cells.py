"""Measures text in the cells of a terminal, in which Chinese characters are twice as wide as Latin ones."""

from __future__ import annotations

from itertools import accumulate, takewhile
from unicodedata import combining, east_asian_width

ELLIPSIS = "…"


def width(text: str) -> int:
    """How many cells the text takes."""
    return sum(map(_cells, text))


def fitted(text: str, cells: int) -> str:
    """The text, cut where it takes more cells than these."""
    if width(text) <= cells:
        return text
    ends = accumulate(map(_cells, text))
    kept = sum(1 for _ in takewhile(lambda end: end < cells, ends))
    return text[:kept] + ELLIPSIS


def padded(text: str, cells: int) -> str:
    """The text, with spaces up to so many cells."""
    return text + " " * (cells - width(text))


def _cells(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
