"""Compacts the journal in the background: what it has of each stream becomes batches, and its rows go.

The events are taken from the logs in memory, by the piece, so that no commit waits long for it. What holds at every
moment: every event is in a batch, or in a row of the journal from `_since[held]` on. So the rows before the least of
these can go.
"""

from __future__ import annotations

from asyncio import Future, TimerHandle
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, islice
from sqlite3 import Connection
from typing import Any

import msgspec

from tidegate.core.log import Page
from tidegate.stores.sqlite import changes
from tidegate.stores.sqlite.journal import BATCH_BYTES
from tidegate.stores.sqlite.rows import Piece
from tidegate.stores.sqlite.segments import Segment, Segments
from tidegate.stores.sqlite.stream_cache import Held

JOURNAL_BYTES = 8 << 20
"""What the journal may hold before live streams are compacted, too: it is read when the store is opened, which takes a
tenth of a second, and a stream that lives for hours would keep the rows of all others. It holds more for as long as
compaction takes, or fails."""

PIECE_ENTRIES = 1000
"""Entries of one batch, besides `BATCH_BYTES`: choosing them holds the loop for a tenth of a millisecond."""

TOGETHER = 64
"""Streams in one transaction, besides `BATCH_BYTES` in all: the next commit waits for it, a few milliseconds."""

JOINED_BYTES = 16 << 10
"""A batch below this size is joined with what follows it: a slow stream would come to have thousands of them."""

AGAIN_SECONDS = 1.0
"""The time after which compaction is tried again when it has failed, e.g. on a full disk."""

Change = Callable[[Callable[[Connection], Any]], Future[Any]]
"""Runs a change of the file in a transaction of its own."""

Later = Callable[[float, Callable[[], None]], TimerHandle]
"""Calls a function after so many seconds."""


class Compactor:
    """Knows which streams have events that are in the journal only; belongs on the loop's thread.

    One transaction is under way at a time. `compacted` is called with each ended stream whose log is put together.
    """

    def __init__(self, compacted: Callable[[Held], None], *, journal_bytes: int, segment_bytes: int) -> None:
        self._compacted = compacted
        self._journal_bytes = journal_bytes
        self._segment_bytes = segment_bytes
        self._change: Change | None = None
        self._later: Later | None = None
        self._again: TimerHandle | None = None
        self._under_way = False
        self._together = TOGETHER  # the most streams of the next transaction
        self._rows = Segments(self._segment_bytes)
        self._since: dict[Held, int] = {}  # by stream: the first row that may have events of it which are nowhere else
        self._oldest: int | None = None  # the least of these; None while it is not known
        self._ended: dict[Held, None] = {}
        self._failing: dict[Held, None] = {}  # what could not be written although it was tried alone

    def open(self, change: Change, later: Later) -> None:
        """Starts with an empty journal. What was noted before, also after the close, is forgotten."""
        self._change, self._later = change, later
        self._oldest = None
        self._under_way = False
        self._together = TOGETHER
        self._rows = Segments(self._segment_bytes)
        self._since.clear()
        self._ended.clear()
        self._failing.clear()

    def close(self) -> None:
        """Compacts nothing more: what is left is compacted when the store is opened again.

        It comes before the writer ends, which takes no compaction then. What the writer still commits may be noted.
        """
        if self._again is not None:
            self._again.cancel()
        self._change = self._later = self._again = None

    def journaled(self, streams: Iterable[Held], first: int, last: int, size: int) -> None:
        """Notes that the rows from `first` to `last`, of so many bytes together, hold appends to the streams."""
        if not self._since:
            self._oldest = None
        for held in streams:
            self._since.setdefault(held, first)
        self._rows.add(first, last, size)
        self._work()

    def ended(self, held: Held) -> None:
        """Notes that a stream has ended: its log can be put together once its rows are noted."""
        self._ended[held] = None

    def forget(self, held: Held) -> None:
        """Notes that a stream was forgotten: nothing of it need be kept, and rows that no other stream needs go."""
        self._remove(held)
        self._ended.pop(held, None)
        self._failing.pop(held, None)
        self._work()

    def _work(self) -> None:
        if self._change is None or self._under_way or self._again is not None:
            return
        chosen = self._chosen()
        rows = self._rows.before(self._horizon())
        if chosen or rows:
            self._under_way = True
            trimmed = (rows[0].first, rows[-1].last) if rows else None
            answer = self._change(partial(changes.compact, pieces=[each.piece for each in chosen], trimmed=trimmed))
            answer.add_done_callback(partial(self._done, chosen, rows, self._rows.next))

    def _chosen(self) -> Sequence[_Chosen]:
        """Pieces of ended streams and, where the journal is large, of those that have been in it for longest; of one
        that could not be written where there are no others."""
        is_large = self._rows.size > self._journal_bytes
        candidates = chain(self._ended, (held for held in self._since if is_large and held not in self._ended))
        streams = list(islice((held for held in candidates if held not in self._failing), self._together))
        chosen: list[_Chosen] = []
        room = BATCH_BYTES
        for held in streams or islice(self._failing, 1):
            if room > 0:
                chosen.append(_piece_of(held, room))
                room -= chosen[-1].size
        return chosen

    def _horizon(self) -> int:
        """The first row that has to be kept."""
        if self._oldest is None:
            self._oldest = min(self._since.values(), default=self._rows.next)
        return self._oldest

    def _done(self, chosen: Sequence[_Chosen], rows: Sequence[Segment], next_row: int, answer: Future[Any]) -> None:
        if self._change is None or self._later is None:
            return
        self._under_way = False
        if answer.cancelled() or answer.exception() is not None:
            self._put_back(chosen)
            self._again = self._later(AGAIN_SECONDS, self._try_again)
            return
        self._together = min(TOGETHER, 2 * self._together)
        self._rows.drop(rows)
        for each in chosen:
            if each.held in self._since:
                self._settle(each, next_row)
        self._work()

    def _put_back(self, chosen: Sequence[_Chosen]) -> None:
        """Streams are tried one by one now, since any may be the one that cannot be written: that one goes behind all
        others, which it would stop."""
        self._together = 1
        if len(chosen) == 1 and (held := chosen[0].held) in self._since:
            self._failing.pop(held, None)
            self._failing[held] = None

    def _settle(self, chosen: _Chosen, next_row: int) -> None:
        held, piece = chosen.held, chosen.piece
        self._failing.pop(held, None)
        held.batched = piece.last
        if chosen.size >= JOINED_BYTES:
            held.joined = piece.last
        if not chosen.whole:
            return
        self._remove(held)
        if held.whole.tail > piece.last:
            # What came while the piece was written is in the rows since then.
            self._since[held] = next_row
        elif held in self._ended:
            del self._ended[held]
            self._compacted(held)

    def _remove(self, held: Held) -> None:
        if self._since.pop(held, None) is not None:
            self._oldest = None

    def _try_again(self) -> None:
        self._again = None
        self._work()


class _Chosen(msgspec.Struct, frozen=True):
    """A piece of a stream's log; `whole` says that it went up to the tail when it was chosen."""

    held: Held
    piece: Piece
    size: int
    whole: bool


def _piece_of(held: Held, room: int) -> _Chosen:
    page = _page(held, max(room, 2 * JOINED_BYTES))
    if page.entries[-1].offset <= held.batched:
        # The next event is too large to be joined with the batch before it.
        held.joined = held.batched
        page = _page(held, room)
    replaces = held.batched if held.joined < held.batched else None
    piece = Piece(held.key, page.entries[-1].offset, page.entries, replaces)
    return _Chosen(held, piece, sum(entry.size for entry in page.entries), not page.more)


def _page(held: Held, room: int) -> Page:
    log = held.whole
    page = log.read(log.at(held.joined), limit=PIECE_ENTRIES, max_bytes=room)
    assert isinstance(page, Page), "a log that is not compacted has all of its entries"
    return page
