"""Counts the values of MessagePack before it is decoded. Pure.

A value begins with a byte that gives its length, or the size of the length field behind it (the specification's table
of formats): the heads are counted one after the other, and their content is skipped.
"""

from __future__ import annotations

from tidegate.core.steps import Steps

AT_ONCE = 10_000
"""Heads that are counted in one step: some 3 ms."""

_SHORT_STRINGS = {head: head & 0x1F for head in range(0xA0, 0xC0)}
_NUMBERS = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_EXTENSIONS = {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_CONTAINERS = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_LENGTHS = [(_SHORT_STRINGS | _NUMBERS | _EXTENSIONS | _CONTAINERS).get(head, 0) for head in range(256)]

# The size of the length field, and how many bytes stand beside it.
_STRINGS = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_TOLD = {**_STRINGS, 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}


def has_more_values(message: bytes, most: int) -> Steps[bool]:
    """Whether a message has more than `most` values, the names in its maps included.

    For bytes that are no MessagePack the count is right up to the first fault, and means nothing after it.
    """
    at, count, size = 0, 0, len(message)
    while at < size and count <= most < size:
        head = message[at]
        count += 1
        at += 1 + _LENGTHS[head]
        if head in _TOLD:
            width, beside = _TOLD[head]
            at += width + beside + int.from_bytes(message[at : at + width], "big")
        if count % AT_ONCE == 0:
            yield
    return count > most
