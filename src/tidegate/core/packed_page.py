"""Some hundred events in their JSON form, packed into one object: a token takes 9 bytes besides its text."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof

from tidegate.core.events import Delta, encode

PackedPage = bytes | tuple[bytes, ...]
"""One line for each event, each begun by a line feed; the events themselves where one of them has a line feed."""

_LINE = b"\n"
_DELTA = encode(Delta(""))[: -len(b'"}')]
"""What nearly every event begins with. It is left out, but for its last quote, with which no other line begins."""

_PLACE_BYTES = 64
"""Memory of a page besides its objects, in bytes: where it stands in its log, and what the allocator adds."""


def pack(events: Sequence[bytes]) -> PackedPage:
    """Packs events in their JSON form."""
    lines = _LINE.join((b"", *events))
    if lines.count(_LINE) != len(events):
        # JSON that was passed on as it came may have line feeds between its values, never within a text.
        return tuple(events)
    return lines.replace(_LINE + _DELTA, _LINE + b'"')


def unpack(page: PackedPage) -> Sequence[bytes]:
    """The events that were packed, byte for byte."""
    if isinstance(page, tuple):
        return page
    return page.replace(_LINE + b'"', _LINE + _DELTA).split(_LINE)[1:]


def weight_of(page: PackedPage) -> int:
    """The memory that the page takes, in bytes."""
    objects = (page, *page) if isinstance(page, tuple) else (page,)
    return _PLACE_BYTES + sum(map(getsizeof, objects))
