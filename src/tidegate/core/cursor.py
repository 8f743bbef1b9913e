"""A position in one stream: `<epoch>-<offset>`.

Offsets count from 1; offset 0 is the place before the first event. An epoch names one period in which one
process filled the log, so that a position which was lost is recognised and never mistaken for another event.
"""

from __future__ import annotations

import re

import msgspec

from tidegate.errors import MalformedCursor

_PATTERN = re.compile(r"([a-z0-9]{1,16})-(0|[1-9][0-9]{0,15})")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """The place after the event at `offset`, as the log of `epoch` knew it."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"


def parse(text: str, *, param: str = "after") -> Cursor:
    """Reads a cursor as a client sends it. Raises `MalformedCursor` naming `param`."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise MalformedCursor(f"{text[:64]!r} is not a cursor; send one that an event carried as its id", param=param)
    return Cursor(match[1], int(match[2]))


def new_epoch(random: int) -> str:
    """A short name for a new epoch, from at least 32 random bits.

    An epoch only has to differ from the other epochs of the same stream, hence its few characters.
    """
    digits: list[str] = []
    for _ in range(6):
        random, digit = divmod(random, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
