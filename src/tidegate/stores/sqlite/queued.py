"""The appends that are queued for a live stream, which is checked against them."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.core.events import Appendable, json_of
from tidegate.core.kept_log import KeptLog
from tidegate.core.log import EVENT_BYTES, Entry, Log, are, begin_epoch
from tidegate.errors import Fenced, OffsetMismatch, StreamEnded, TooLong
from tidegate.stores.sqlite.accounts import LiveCharge
from tidegate.stores.sqlite.rows import not_found
from tidegate.stores.sqlite.writer import Line


class Queued(Line):
    """A live stream as it will be once all its queued appends are committed; new appends are checked against it."""

    def __init__(self, stream: str, log: Log | KeptLog, max_bytes: int, charge: LiveCharge | None = None) -> None:
        super().__init__()
        self.stream = stream
        self._log = log
        self._max_bytes = max_bytes
        self.epochs = list(log.epochs)
        self.tail = log.tail
        self.size = log.size
        self._weight = log.weight
        self._charge = charge
        self.ended = log.end is not None
        self.forgotten = False
        self.entries: list[Entry] = []

    def place(self, events: Sequence[Appendable], epoch: str, expected: int) -> bool:
        """Whether the events follow the tail; False where the log has them, or will have, right after `expected`.

        Raises `Fenced`, `OffsetMismatch`, or `StreamEnded`.
        """
        self.check(epoch)
        if expected != self.tail:
            self._check_repeated(events, expected)
            return False
        if self.ended:
            raise StreamEnded("the stream has ended")
        return True

    def take(self, events: Sequence[Appendable]) -> list[Entry]:
        """Moves the tail behind the events, and returns them as entries. A terminal event is the last of them.

        Raises `TooLong` or `StorageFull`.
        """
        epoch = self.epochs[-1][0]
        offset, size = self.tail, self.size
        entries: list[Entry] = []
        for event in events:
            offset += 1
            json = json_of(event)
            entries.append(Entry(epoch, offset, json))
            size += len(json)
        if ended := bool(entries) and entries[-1].is_end:
            size -= entries[-1].size
        if size > self._max_bytes and size > self.size:
            raise TooLong(f"the generation is longer than {self._max_bytes} bytes")
        weight = self._weight + size - self.size + EVENT_BYTES * (len(entries) - ended)
        if self._charge is not None and weight > self._charge.covered:
            self._charge.cover(size, weight)
        self.tail, self.size, self._weight, self.ended = offset, size, weight, ended
        self.entries += entries
        return entries

    def forget(self) -> None:
        """Makes the stream seem absent from now on. Raises `StreamNotFound` the second time."""
        if self.forgotten:
            raise not_found(self.stream)
        self.forgotten = True

    def begin_epoch(self, epoch: str) -> None:
        """Begins an epoch at the tail. Raises `StreamEnded` or `StreamNotFound`."""
        if self.forgotten:
            raise not_found(self.stream)
        if self.ended:
            raise StreamEnded("the stream has ended")
        begin_epoch(self.epochs, epoch, self.tail)

    def check(self, epoch: str) -> None:
        """Raises `Fenced` for any epoch but the last, `StreamNotFound` where the stream is being forgotten."""
        if self.forgotten:
            raise not_found(self.stream)
        if epoch != self.epochs[-1][0]:
            raise Fenced("another process fills this stream now")

    def committed(self, entries: Sequence[Entry]) -> None:
        """Removes the oldest queued entries, which are in the log now."""
        del self.entries[: len(entries)]

    def _check_repeated(self, events: Sequence[Appendable], expected: int) -> None:
        tail = self._log.tail
        there = events[: max(0, tail - expected)]
        start = max(0, expected - tail)
        behind = self.entries[start : start + len(events) - len(there)]
        if not events or not self._log.holds(expected, there) or not are(behind, events[len(there) :]):
            raise OffsetMismatch(f"the stream's tail is {self.tail}, not {expected}", tail=self.tail)
