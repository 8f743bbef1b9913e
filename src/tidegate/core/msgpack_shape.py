"""The shape of MessagePack, counted before anything is made of it. Pure.

A value begins with a byte that says how long it is, or in how many bytes behind it that is told (the specification's
table of formats): the heads are gone through one after the other, and what they hold is not looked at.
"""

from __future__ import annotations

from tidegate.core.steps import Steps

AT_ONCE = 10_000
"""Heads that are gone through in one step: some 3 ms."""

_SHORT_STRINGS = {head: head & 0x1F for head in range(0xA0, 0xC0)}
_NUMBERS = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_EXTENSIONS = {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_CONTAINERS = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_LENGTHS = [(_SHORT_STRINGS | _NUMBERS | _EXTENSIONS | _CONTAINERS).get(head, 0) for head in range(256)]

# In how many bytes the length is told, and what stands beside it.
_STRINGS = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_TOLD = {**_STRINGS, 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}


def has_more_values(message: bytes, most: int) -> Steps[bool]:
    """Whether a message has more values than that, the names in its maps among them.

    On what is no MessagePack the answer means nothing, but up to the first fault it is right.
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
