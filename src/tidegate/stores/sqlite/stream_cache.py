"""Streams in memory: live ones with the appends queued for them, and a cache of ended ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegate.core.cursor import Cursor
from tidegate.core.events import ENDS, Appendable, json_of
from tidegate.core.log import EVENT_BYTES, Entry, Log, are, begin_epoch
from tidegate.errors import Fenced, OffsetMismatch, StreamEnded, TooLong
from tidegate.stores.records import StreamRecord
from tidegate.stores.sqlite.accounts import LiveCharge
from tidegate.stores.sqlite.rows import not_found
from tidegate.stores.sqlite.writer import Line
from tidegate.stores.watchers import wake_all

KEPT_BYTES = 64 << 20
"""Memory for ended streams, with or without their logs: some 300,000 tokens. They can be read again at any time."""

KEPT_STREAMS = 16384
"""Ended streams in memory: more than are asked for between one's `get` and its `watch`."""

RECORD_BYTES = 1024
"""Memory of a stream besides its log and its question, in bytes."""


class Queued(Line):
    """A live stream as it will be once all its queued appends are committed; new appends are checked against it."""

    def __init__(self, stream: str, log: Log, max_bytes: int, charge: LiveCharge | None = None) -> None:
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
        """Moves the tail behind the events, and returns them as entries. Raises `TooLong` or `StorageFull`."""
        epoch = self.epochs[-1][0]
        offset, size, weight = self.tail, self.size, self._weight
        entries: list[Entry] = []
        ended = False
        for event in events:
            offset += 1
            json = json_of(event)
            entries.append(Entry(epoch, offset, json))
            if json.startswith(ENDS):
                ended = True
            else:
                size += len(json)
                weight += EVENT_BYTES + len(json)
        if size > max(self._max_bytes, self.size):
            raise TooLong(f"the generation is longer than {self._max_bytes} bytes")
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
        if not self._log.holds(expected, there) or not are(behind, events[len(there) :]):
            raise OffsetMismatch(f"the stream's tail is {self.tail}, not {expected}", tail=self.tail)


class Held:
    """One stream in memory. `log` is None if it has not been read; that of a `long` stream never is. `queued` is None
    once the stream has ended, `charge` once its log has been put together, too.

    In the file, batches have the events up to the offset `batched`; the next batch begins after `joined`, and replaces
    what is there from then on.
    """

    def __init__(
        self,
        key: int,
        record: StreamRecord,
        *,
        log: Log | None = None,
        cursor: Cursor | None = None,
        charge: LiveCharge | None = None,
        batched: int = 0,
        joined: int = 0,
    ) -> None:
        self.key = key
        self.record = record
        self.log = log
        self.queued: Queued | None = None
        self.watchers: dict[object, Callable[[], None]] = {}
        self.charge = charge
        self.long = False
        self.batched = batched
        self.joined = joined
        self._cursor = cursor

    @property
    def whole(self) -> Log:
        """The log of a stream whose log is known to have been read."""
        assert self.log is not None, "only a stream that has ended is held without its log"
        return self.log

    @property
    def cursor(self) -> Cursor:
        """The position after the last event."""
        if self.log is not None:
            return self.log.cursor
        assert self._cursor is not None, "a stream is held with its log, its cursor, or both"
        return self._cursor

    @property
    def size(self) -> int:
        """The memory that the stream takes, about, in bytes."""
        question = self.record.request.question if self.record.request is not None else None
        return RECORD_BYTES + len(question or "") + (self.log.weight if self.log is not None else 0)

    def let_go(self) -> None:
        """Drops the log, which can be read again."""
        self._cursor, self.log = self.cursor, None

    def wake(self) -> None:
        wake_all(self.record.id, self.watchers)


class StreamCache:
    """A cache of ended streams. The least recently used are dropped first; a watched one loses only its log."""

    def __init__(self, max_bytes: int = KEPT_BYTES, max_streams: int = KEPT_STREAMS) -> None:
        self._held: dict[str, Held] = {}
        self._bytes = 0
        self._max_bytes = max_bytes
        self._max_streams = max_streams

    def get(self, stream: str) -> Held | None:
        held = self._held.pop(stream, None)
        if held is not None:
            self._held[stream] = held
        return held

    def put(self, held: Held) -> None:
        """Keeps the stream, with its log if it has one, for as long as there is room."""
        self._held[held.record.id] = held
        self._bytes += held.size
        self._make_room(held)

    def load(self, stream: str, log: Log | None) -> None:
        """Adds the log to a cached stream; None notes that the log is too long to be kept."""
        held = self.get(stream)
        if held is not None and log is None:
            held.long = True
        elif held is not None and held.log is None and log is not None:
            held.log = log
            self._bytes += log.weight
            self._make_room(held)

    def drop(self, stream: str) -> Held | None:
        held = self._held.pop(stream, None)
        if held is not None:
            self._bytes -= held.size
        return held

    def clear(self) -> Sequence[Held]:
        """Drops all streams, and returns them."""
        held = tuple(self._held.values())
        self._held.clear()
        self._bytes = 0
        return held

    def _make_room(self, newest: Held) -> None:
        while self._is_full():
            unused = (held for held in self._held.values() if held is not newest and _can_go(held))
            if (oldest := next(unused, None)) is None:
                return
            if not oldest.watchers:
                self.drop(oldest.record.id)
            elif oldest.log is not None:
                self._bytes -= oldest.log.weight
                oldest.let_go()

    def _is_full(self) -> bool:
        return self._bytes > self._max_bytes or len(self._held) > self._max_streams


def _can_go(held: Held) -> bool:
    return not held.watchers or held.log is not None
