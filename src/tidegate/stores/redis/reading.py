"""What Redis answers to the script `read`, and where a cursor stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.log import Entry, Page, epoch_at, knows
from tidegate.core.notices import Gap
from tidegate.stores.records import Found

Epochs = list[tuple[str, int]]


class Piece(msgspec.Struct, frozen=True):
    """A piece of a log: the JSON of the events after the offset `after`, and what the log is now."""

    epochs: Epochs
    tail: int
    ended: bool
    after: int
    events: Sequence[bytes]


def piece_of(answer: Sequence[Any], offset: int) -> Piece:
    """The events after the offset. The first entry of the log may begin, or even end, before it: the offset is where
    the node stands when it is answered."""
    epochs, tail, ended, found = answer
    events: list[bytes] = []
    for last, joined in zip(found[::2], found[1::2], strict=True):
        if (missing := last - offset - len(events)) > 0:
            events += joined.split(b"\n")[-missing:]
    return Piece(epochs_of(epochs), tail, bool(ended), offset, events)


def epochs_of(text: bytes) -> Epochs:
    """The epochs of a record: `5k2q:0,9x1m:17`."""
    return [(epoch, int(start)) for epoch, _, start in (each.partition(":") for each in text.decode().split(","))]


def found_in(piece: Piece, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
    """What `Log.read` answers for the whole log. The piece begins after the cursor's offset."""
    if after is not None and not knows(piece.epochs, after, first=0, tail=piece.tail):
        return Gap(after, Cursor(piece.epochs[0][0], 0))
    if not piece.events and piece.after < piece.tail:
        # Redis has evicted the log, which no settings that we ask for let it do, and has kept the record.
        tail = Cursor(epoch_at(piece.epochs, piece.tail), piece.tail)
        return Gap(after or Cursor(piece.epochs[0][0], 0), tail)
    entries: list[Entry] = []
    size = 0
    for offset, json in enumerate(piece.events, piece.after + 1):
        size += len(json)
        if entries and (len(entries) >= limit or size > max_bytes):
            break
        entries.append(Entry(epoch_at(piece.epochs, offset), offset, json))
    cursor = entries[-1].cursor if entries else (after or Cursor(piece.epochs[0][0], 0))
    return Page(entries, cursor, more=piece.after + len(entries) < piece.tail)
