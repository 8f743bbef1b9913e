"""Streams in memory: what is held of each, and a cache of ended ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegate.core.cursor import Cursor
from tidegate.core.kept_log import KeptLog
from tidegate.core.log import Log
from tidegate.stores.records import StreamRecord
from tidegate.stores.sqlite.accounts import LiveCharge
from tidegate.stores.sqlite.queued import Queued
from tidegate.stores.watchers import wake_all

KEPT_BYTES = 64 << 20
"""Memory for ended streams, with or without their logs: of those that were read from the file, 4 million tokens; of
those that have just ended, some 300,000. They can be read again at any time."""

KEPT_STREAMS = 16384
"""Ended streams in memory: more than are asked for between one's `get` and its `watch`."""

RECORD_BYTES = 1024
"""Memory of a stream besides its log and its question, in bytes."""


class Held:
    """One stream in memory.

    `log` is None if it has not been read, and packed if it was read after the stream's end. The log of a `long` stream
    is never read. `queued` is None from the stream's end on, and `charge` once its log has been put together, too.

    In the file, batches have the events up to the offset `batched`; the next batch begins after `joined`, and replaces
    what is there from then on.
    """

    def __init__(
        self,
        key: int,
        record: StreamRecord,
        *,
        log: Log | KeptLog | None = None,
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
        """The log of a stream that has not been put together in the file: it is as it was filled."""
        assert isinstance(self.log, Log), "only a log that is whole in the file is held packed, or not at all"
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

    def load(self, stream: str, log: Log | KeptLog | None) -> None:
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
