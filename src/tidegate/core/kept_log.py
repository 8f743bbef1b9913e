"""The log of a stream that has ended, in packed pages.

A live log has an object for each event, 136 bytes besides its JSON, since it is read at its tail all the time. Of an
ended log only what is being read is made into such objects again, a page or two for each read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import NoReturn, cast

from tidegate.core.cursor import Cursor
from tidegate.core.events import Appendable, Terminal, decode, json_of
from tidegate.core.log import NO_LIMIT, Entry, Log, Page, epoch_at, knows
from tidegate.core.notices import Gap
from tidegate.core.packed_page import PackedPage, first_size, memory_of, pack, pages_of, unpack
from tidegate.core.steps import Pace, Steps
from tidegate.errors import StreamEnded

PAGE_ENTRIES = 512
"""Entries of a page, as many as a reader reads at a time: unpacking them takes as long as reading them from a `Log`."""

PAGE_BYTES = 65536
"""Bytes of JSON in a page, unless one event is longer: as many as a reader reads at a time."""

RELEASED = 4096
"""Entries that are freed at a time, within a millisecond: the 500,000 of a long answer took 70."""


def release(log: Log) -> Steps[None]:
    """Frees the entries of a log that nobody reads any more."""
    while held := log.tail - log.earliest.offset:
        yield
        log.keep(entries=max(0, held - RELEASED), size=NO_LIMIT)


class KeptLog:
    """A log with its terminal event. It answers as the `Log` that it was made of does; nothing can be added."""

    __slots__ = ("_ends", "_pages", "epochs", "size")

    ended = True

    def __init__(
        self, epochs: Sequence[tuple[str, int]], pages: Sequence[PackedPage], ends: Sequence[int], size: int
    ) -> None:
        """`ends` has the offset of each page's last entry."""
        self.epochs = epochs
        self.size = size
        self._pages = pages
        self._ends = ends

    @classmethod
    def of(cls, log: Log) -> Steps[KeptLog]:
        """Packs a log that has its terminal event, and has forgotten nothing."""
        pages: list[PackedPage] = []
        ends: list[int] = []
        pace = Pace()
        after, more = None, True
        while more:
            found = log.read(after, limit=PAGE_ENTRIES, max_bytes=PAGE_BYTES)
            assert isinstance(found, Page), "a generation's log is whole"
            events = [entry.json for entry in found.entries]
            for page in pages_of(events):
                pages.append(pack(page))
                ends.append((ends[-1] if ends else 0) + len(page))
            after, more = found.after, found.more
            if pace.is_over(sum(map(len, events))):
                yield
        return cls(tuple(log.epochs), tuple(pages), tuple(ends), log.size)

    @property
    def tail(self) -> int:
        """The offset of the terminal event."""
        return self._ends[-1]

    @property
    def weight(self) -> int:
        """The memory that the log takes, in bytes, its terminal event included."""
        return sum(map(memory_of, self._pages))

    @property
    def cursor(self) -> Cursor:
        """The position after the terminal event."""
        return self.at(self.tail)

    @property
    def end(self) -> Terminal:
        """The terminal event."""
        return cast("Terminal", decode(unpack(self._pages[-1])[-1]))

    def at(self, offset: int) -> Cursor:
        """The position after the event at the offset."""
        return Cursor(epoch_at(self.epochs, offset), offset)

    def begin_epoch(self, epoch: str) -> NoReturn:
        """Raises `StreamEnded`, as a `Log` does after its terminal event."""
        raise StreamEnded("the stream has ended")

    def append(self, events: Sequence[Appendable]) -> NoReturn:
        """Raises `StreamEnded`, as a `Log` does after its terminal event."""
        raise StreamEnded("the stream has ended")

    def holds(self, after: int, events: Sequence[Appendable]) -> bool:
        """Whether exactly these events stand right after the offset."""
        return self._events(after, len(events), NO_LIMIT) == [json_of(event) for event in events]

    def read(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Page | Gap:
        """As `Log.read`.

        Each read unpacks the pages that it touches, whole: whoever reads one entry at a time unpacks each page as often
        as it has entries. Readers ask for as much as a page has.
        """
        at = self.at(0) if after is None else after
        if not knows(self.epochs, at, first=0, tail=self.tail):
            return Gap(at, self.at(0))
        found = self._entries(at.offset, self._events(at.offset, limit, max_bytes))
        return Page(found, found[-1].cursor if found else at, at.offset + len(found) < self.tail)

    def _events(self, after: int, limit: int, max_bytes: int) -> Sequence[bytes]:
        """The JSON of at most `limit` events and `max_bytes`, but of at least one, after the offset."""
        found: list[bytes] = []
        size = 0
        first = bisect_right(self._ends, after)
        skipped = after - (self._ends[first - 1] if first else 0)
        for page in islice(self._pages, first, None):
            if found and size + first_size(page) > max_bytes:
                break
            events = unpack(page)[skipped:]
            skipped = 0
            found += events
            size += sum(map(len, events))
            if len(found) >= limit:
                break
        del found[limit:]
        if size > max_bytes:
            del found[max(1, bisect_right(list(accumulate(map(len, found))), max_bytes)) :]
        return found

    def _entries(self, after: int, events: Sequence[bytes]) -> list[Entry]:
        epoch, since = self.epochs[-1]
        if since <= after:
            return [Entry(epoch, offset, json) for offset, json in enumerate(events, after + 1)]
        return [Entry(epoch_at(self.epochs, offset), offset, json) for offset, json in enumerate(events, after + 1)]
