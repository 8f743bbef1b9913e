"""The newest events of a log, in the memory of a node: what its readers at the tail need, without asking Redis."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.core.cursor import Cursor
from tidegate.core.log import NO_LIMIT, Entry, Log, Page, epoch_at, knows

WINDOW_EVENTS = 256
"""Events kept: twelve seconds of an answer, several times what a replica of Redis is behind its master. Up to twice as
many are in memory, so that they are not counted at each event."""

WINDOW_BYTES = 32 << 10
"""The most JSON kept, but at least one event: 10,000 live streams take no more than 640 MB, and usually a tenth."""


class Window:
    """The end of a log whose `epochs` are known (as in `core.log.Log`), after the offset `tail`."""

    __slots__ = ("_log",)

    def __init__(self, epochs: Sequence[tuple[str, int]], tail: int, *, ended: bool = False) -> None:
        self._log = Log.restore(epochs, (), dropped=tail)
        self._log.ended = ended

    @property
    def tail(self) -> int:
        return self._log.tail

    @property
    def cursor(self) -> Cursor:
        """The position after the last event."""
        return self._log.cursor

    def is_before(self, epochs: Sequence[tuple[str, int]], tail: int) -> bool:
        """Whether a log with these epochs and this tail may be this one, longer or as long: nothing of it was lost."""
        cursor = self._log.cursor
        return tail >= cursor.offset and knows(epochs, cursor, first=0, tail=tail)

    def is_ahead(self, epochs: Sequence[tuple[str, int]], tail: int) -> bool:
        """Whether a log with these epochs and this tail is the same one, of which the last events are missing."""
        return tail < self._log.tail and epochs[-1][0] == self._log.cursor.epoch

    def add(self, epoch: str, after: int, events: Sequence[bytes]) -> bool:
        """Adds the JSON of events that stand after an offset in the log; False where they do not follow the last one.

        Events that are here already are left out.
        """
        log = self._log
        if after > log.tail or (after < log.tail and epoch != log.cursor.epoch):
            return False
        fresh = events[log.tail - after :]
        if fresh:
            if epoch != log.epochs[-1][0]:
                log.begin_epoch(epoch)
            log.extend([Entry(epoch, log.tail + n, json) for n, json in enumerate(fresh, 1)])
            if log.tail - log.earliest.offset > 2 * WINDOW_EVENTS or log.size > 2 * WINDOW_BYTES:
                log.keep(entries=WINDOW_EVENTS, size=WINDOW_BYTES)
        return True

    def take(self, epochs: Sequence[tuple[str, int]], after: int, events: Sequence[bytes]) -> None:
        """Adds the JSON of events that were read after an offset of a log with these epochs."""
        for offset, json in enumerate(events, after):
            self.add(epoch_at(epochs, offset + 1), offset, (json,))

    def begin_epoch(self, epoch: str) -> None:
        """Notes that another process fills the log from here on."""
        if epoch != self._log.epochs[-1][0]:
            self._log.begin_epoch(epoch)

    def since(self, tail: int) -> Sequence[bytes] | None:
        """The JSON of all events after the offset; None where some of them are not here any more."""
        log = self._log
        if tail < log.earliest.offset:
            return None
        found = log.read(log.at(tail), limit=NO_LIMIT, max_bytes=NO_LIMIT)
        return [entry.json for entry in found.entries] if isinstance(found, Page) else None

    def read(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Page | None:
        """What `Log.read` answers; None where only Redis knows that."""
        if after is None or after.offset < self._log.earliest.offset:
            return None
        found = self._log.read(after, limit=limit, max_bytes=max_bytes)
        return found if isinstance(found, Page) else None
