"""Some hundred events in their JSON form, packed into one object: a token takes 9 bytes besides its text."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof

from tidegate.core.events import Delta, encode

PackedPage = bytes | tuple[bytes, ...]
"""One line for each event, each begun by a line feed; or the events themselves, which are then shared by all readers.

Two deltas, `{"type":"delta","text":"The"}` and `{"type":"delta","text":" tide"}`, become the lines `"The"}` and
`" tide"}`.
"""

BIG_EVENT_BYTES = 16384
"""JSON of an event, in bytes, from which on it is kept as it is: to unpack means to copy, and no account counts what
is copied. A model's events have a hundred bytes; those that callers append may have megabytes."""

_LINE = b"\n"
_DELTA = encode(Delta(""))[: -len(b'"}')]
"""What nearly every event begins with: `{"type":"delta","text":"`. It is left out, but for its last quote, with which
no other line begins."""

_PLACE_BYTES = 64
"""Memory of a page besides its objects, in bytes: where it stands in its log, and what the allocator adds."""


def pages_of(events: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
    """Cuts events, one at least, in their JSON form into those that are packed together: a big one has its own page."""
    if max(map(len, events)) < BIG_EVENT_BYTES:
        return [events]
    pages: list[Sequence[bytes]] = []
    begun = 0
    for index, event in enumerate(events):
        if len(event) >= BIG_EVENT_BYTES:
            pages += [events[begun:index], events[index : index + 1]]
            begun = index + 1
    return [page for page in (*pages, events[begun:]) if page]


def pack(events: Sequence[bytes]) -> PackedPage:
    """Packs the events of one page, in their JSON form."""
    if len(events) == 1 and len(events[0]) >= BIG_EVENT_BYTES:
        return tuple(events)
    lines = _LINE.join((b"", *events))
    if lines.count(_LINE) != len(events):
        # Files of earlier versions may have line breaks between the values of an event, never within a text.
        return tuple(events)
    return lines.replace(_LINE + _DELTA, _LINE + b'"')


def unpack(page: PackedPage) -> Sequence[bytes]:
    """The events that were packed, byte for byte."""
    if isinstance(page, tuple):
        return page
    return page.replace(_LINE + b'"', _LINE + _DELTA).split(_LINE)[1:]


def first_size(page: PackedPage) -> int:
    """The length of the first event's JSON, in bytes, without unpacking the page."""
    if isinstance(page, tuple):
        return len(page[0])
    end = page.find(_LINE, 1)
    line = (len(page) if end < 0 else end) - 1
    return line + len(_DELTA) - 1 if page.startswith(b'\n"') else line


def memory_of(page: PackedPage) -> int:
    """The memory that the page takes, in bytes."""
    objects = (page, *page) if isinstance(page, tuple) else (page,)
    return _PLACE_BYTES + sum(map(getsizeof, objects))
