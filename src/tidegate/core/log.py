"""The bounded append-only log behind every stream.

One writer appends; readers read after their cursor. A generation's log is bounded in bytes and refuses events that do
not fit, since a live generation is kept whole; a topic's log is told how much to `keep`, and forgets its oldest events.
A reader that asks for forgotten events gets a `Gap`; they are never skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import cast

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import ENDS, Appendable, Event, Terminal, decode, encode, json_of
from tidegate.core.notices import Gap
from tidegate.errors import StreamEnded, TooLong

EVENT_BYTES = 136
"""Memory of an event besides its JSON, in bytes: its objects and its place (measured: 121 for a token of 6 bytes)."""

NO_LIMIT = 1 << 62

Cover = Callable[[int], int]
"""Called with a log's new weight before that exceeds the allowed one; returns the weight allowed then, or raises."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event, in its JSON form, and its position; `away` counts the bytes of it that are not in memory."""

    epoch: str
    offset: int
    json: bytes
    away: int = 0

    @classmethod
    def of(cls, epoch: str, offset: int, event: Event) -> Entry:
        return cls(epoch, offset, encode(event))

    @property
    def event(self) -> Event:
        """The event, decoded anew on each access."""
        return decode(self.json)

    @property
    def size(self) -> int:
        """The length of its JSON, in bytes."""
        return len(self.json) + self.away

    @property
    def is_end(self) -> bool:
        """Whether it is a terminal event."""
        return self.json.startswith(ENDS)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.epoch, self.offset)


class Page(msgspec.Struct, frozen=True, gc=False):
    """The entries that one read has found, and the position after them; `more` says whether more entries follow."""

    entries: Sequence[Entry]
    after: Cursor
    more: bool

    @property
    def at_end(self) -> bool:
        """Whether the last entry is the terminal event."""
        return bool(self.entries) and self.entries[-1].json.startswith(ENDS)


def are(entries: Iterable[Entry], events: Sequence[Appendable]) -> bool:
    """Whether the entries are exactly these events."""
    return [entry.json for entry in entries] == [json_of(event) for event in events]


def epoch_at(epochs: Sequence[tuple[str, int]], offset: int) -> str:
    """The epoch in which the event at the offset was appended."""
    return next(epoch for epoch, start in reversed(epochs) if start < offset or start == 0)


def begin_epoch(epochs: list[tuple[str, int]], epoch: str, tail: int) -> None:
    """Adds an epoch at the tail. The one before is dropped if nothing was appended in it: it has no positions."""
    if epochs[-1][1] == tail > 0:
        del epochs[-1]
    epochs.append((epoch, tail))


def knows(epochs: Sequence[tuple[str, int]], cursor: Cursor, *, first: int, tail: int) -> bool:
    """Whether the cursor is a position in a log of these epochs that is kept after the offset `first`, up to `tail`."""
    for index, (epoch, start) in enumerate(epochs):
        if epoch == cursor.epoch:
            end = epochs[index + 1][1] if index + 1 < len(epochs) else tail
            return max(start, first) <= cursor.offset <= end
    return False


class Log:
    """Entries in order, in one or more epochs, until the terminal event.

    `tail` is the offset of the last event, 0 while there is none; `ended` says that it is the terminal event.
    `max_bytes` bounds the sum of the events' JSON sizes, the terminal event excepted; None means no bound. Before the
    log takes more than `covered` bytes of memory, `cover` is called.
    """

    __slots__ = (
        "_before_newest",
        "_bytes",
        "_cover",
        "_cursor",
        "_dropped",
        "_entries",
        "_epochs",
        "_max_bytes",
        "_newest",
        "_room",
        "ended",
        "tail",
    )

    def __init__(
        self, epoch: str, *, max_bytes: int | None = None, covered: int = NO_LIMIT, cover: Cover = int
    ) -> None:
        self._entries: list[Entry] = []
        self._dropped = 0
        self._bytes = 0
        self._room = covered
        self._cover = cover
        self._epochs: list[tuple[str, int]] = [(epoch, 0)]
        self._max_bytes = max_bytes
        self.tail = 0
        self.ended = False
        self._cursor = Cursor(epoch, 0)
        # The event that was appended alone last, as the page of those readers that had everything before it.
        self._newest = Page((), self._cursor, more=False)
        self._before_newest: Cursor | None = None

    @classmethod
    def restore(cls, epochs: Sequence[tuple[str, int]], entries: Sequence[Entry], *, dropped: int = 0) -> Log:
        """A log that was kept elsewhere, from its `epochs` and its entries: all of them but the first `dropped`."""
        log = cls(epochs[0][0])
        log._epochs = list(epochs)
        log._dropped = dropped
        log.tail = dropped
        log._cursor = log.at(dropped)
        log.extend(entries)
        return log

    @property
    def epochs(self) -> Sequence[tuple[str, int]]:
        """Each epoch, and the offset that the tail had when it began."""
        return self._epochs

    @property
    def size(self) -> int:
        """The sum of the events' JSON sizes in bytes, the terminal event excepted."""
        return self._bytes

    @property
    def weight(self) -> int:
        """The memory that the log takes, in bytes, estimated from above."""
        return self._bytes + EVENT_BYTES * len(self._entries)

    @property
    def cursor(self) -> Cursor:
        """The position after the last event: the same object until another event follows."""
        return self._cursor

    @property
    def earliest(self) -> Cursor:
        """The position just before the earliest event that is kept."""
        return self.at(self._dropped)

    @property
    def end(self) -> Terminal | None:
        """The terminal event, once the log has it."""
        return cast("Terminal", self._entries[-1].event) if self.ended else None

    def at(self, offset: int) -> Cursor:
        """The position after the event at the offset."""
        return Cursor(epoch_at(self._epochs, offset), offset)

    def begin_epoch(self, epoch: str) -> None:
        """Begins an epoch at the tail, since another process fills the log from now on. Raises `StreamEnded`."""
        if self.ended:
            raise StreamEnded("the stream has ended")
        begin_epoch(self._epochs, epoch, self.tail)
        self._cursor = self.at(self.tail)

    def append(self, events: Sequence[Appendable]) -> int:
        """Adds the events together, or none of them, and returns the new tail. A terminal event is the last of them.

        Raises `StreamEnded` after the terminal event, `TooLong` past `max_bytes`, and what `cover` raises.
        """
        if self.ended:
            raise StreamEnded("the stream has ended")
        epoch = self._epochs[-1][0]
        tail = self.tail
        added: list[Entry] = []
        size = 0
        json = b""
        for event in events:
            json = event if isinstance(event, bytes) else encode(event)
            tail += 1
            added.append(Entry(epoch, tail, json))
            size += len(json)
        if ended := json.startswith(ENDS):
            size -= len(json)
        if size and self._max_bytes is not None and self._bytes + size > self._max_bytes:
            raise TooLong(f"the generation is longer than {self._max_bytes} bytes")
        cost = size + EVENT_BYTES * len(added)
        if cost > self._room and size:
            self._room = self._cover(self.weight + cost) - self.weight
        self._room -= cost
        if added:
            self.add(added, size, ended=ended)
        return tail

    def extend(self, entries: Sequence[Entry]) -> None:
        """Adds entries that were checked before to follow the tail and to fit: nothing is checked again."""
        if entries:
            size = sum(entry.size for entry in entries if not entry.is_end)
            self.add(entries, size, ended=entries[-1].is_end)

    def add(self, entries: Sequence[Entry], size: int, *, ended: bool) -> None:
        """As `extend`, for one or more entries of which the sum of the sizes, the terminal event excepted, is known."""
        last = entries[-1]
        self.tail, self.ended = last.offset, ended
        before, self._cursor = self._cursor, Cursor(last.epoch, last.offset)
        if len(entries) == 1:
            self._newest, self._before_newest = Page(entries, self._cursor, more=False), before
        else:
            self._before_newest = None
        self._entries.extend(entries)
        self._bytes += size

    def keep(self, *, entries: int, size: int) -> Sequence[Entry]:
        """Forgets the oldest entries until at most `entries` with at most `size` bytes of JSON are left, or the newest
        alone.

        What is left does not depend on how often this was called in between. Returns the forgotten entries.
        """
        surplus = max(0, len(self._entries) - entries)
        left = self._bytes - sum(entry.size for entry in self._entries[:surplus])
        while left > size and surplus < len(self._entries) - 1:
            left -= self._entries[surplus].size
            surplus += 1
        forgotten = self._entries[:surplus]
        if surplus > 0:
            del self._entries[:surplus]
            self._dropped += surplus
            self._bytes = left
            if not self._entries:
                self._before_newest = None
            self._forget_epochs()
        return forgotten

    def swap(self, count: int, other: Callable[[Event], Event]) -> None:
        """Replaces the events of the first `count` entries kept by `other` ones; positions and sizes stay."""
        for index, entry in enumerate(self._entries[:count]):
            json = encode(other(entry.event))
            self._entries[index] = Entry(entry.epoch, entry.offset, json, entry.size - len(json))
        self._before_newest = None

    def holds(self, after: int, events: Sequence[Appendable]) -> bool:
        """Whether exactly these events stand right after the offset."""
        start = after - self._dropped
        kept = self._entries[max(start, 0) : start + len(events)]
        return start >= 0 and are(kept, events)

    def read(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Page | Gap:
        """Reads at most `limit` entries and `max_bytes` of JSON (but at least one entry) after the cursor.

        None reads from the earliest entry kept. A cursor that is not valid here is answered with a `Gap`, whose `to` is
        just before the earliest entry kept.
        """
        # The readers at the tail ask with the same cursor object, one after the other, and get the same page.
        if after is not None and after is self._before_newest:
            return self._newest
        if after is None:
            return self._read(self.earliest, limit, max_bytes)
        return self._read(after, limit, max_bytes) if self._knows(after) else Gap(after, self.earliest)

    def _read(self, after: Cursor, limit: int, max_bytes: int) -> Page:
        start = after.offset - self._dropped
        found = self._entries[start : start + limit]
        if len(found) > 1:
            sizes = accumulate(entry.size for entry in found)
            found = found[: max(1, sum(size <= max_bytes for size in sizes))]
        more = start + len(found) < len(self._entries)
        if not more and (found or after == self._cursor):
            return Page(found, self._cursor, more)
        return Page(found, found[-1].cursor if found else after, more)

    def _knows(self, cursor: Cursor) -> bool:
        current, since = self._epochs[-1]
        if cursor.epoch == current and since <= cursor.offset <= self.tail and cursor.offset >= self._dropped:
            return True
        return knows(self._epochs, cursor, first=self._dropped, tail=self.tail)

    def _forget_epochs(self) -> None:
        """Drops the epochs that have no valid position any more."""
        while len(self._epochs) > 1 and self._epochs[1][1] < self._dropped:
            del self._epochs[0]
