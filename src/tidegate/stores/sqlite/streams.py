"""The streams of the file: live ones, those whose logs are not yet put together, and some others are in memory.

The others are read when they are asked for.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable
from functools import partial
from sqlite3 import Connection
from typing import Any, TypeVar

from tidegate.core.kept_log import KeptLog
from tidegate.core.log import Log
from tidegate.stores.sqlite import reader
from tidegate.stores.sqlite.queued import Queued
from tidegate.stores.sqlite.rows import Row
from tidegate.stores.sqlite.stream_cache import Held, StreamCache

T = TypeVar("T")

Ask = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
"""Runs a query on the reading thread. Raises `StoreUnavailable`."""


class Streams:
    """Streams by id; belongs on the loop's thread, with its content.

    A live stream is never looked for in the file, nor is one that has ended before its log is put together there.
    """

    def __init__(self, ask: Ask, max_bytes: int) -> None:
        self._ask = ask
        self._max_bytes = max_bytes
        self._live: dict[str, Held] = {}
        self._uncompacted: dict[str, Held] = {}
        self._ended = StreamCache()
        self._loads: dict[str, Future[None]] = {}
        self._forgotten = 0

    def held(self, stream: str) -> Held | None:
        """The stream, if it is in memory."""
        return self._live.get(stream) or self._uncompacted.get(stream) or self._ended.get(stream)

    def live(self, stream: str) -> Held | None:
        """The stream, if it is live."""
        return self._live.get(stream)

    async def found(self, stream: str) -> Held:
        """The stream, perhaps without its log. Raises `StreamNotFound`."""
        while (held := self.held(stream)) is None:
            forgotten = self._forgotten
            row = await self._ask(partial(reader.row_of, stream=stream))
            self.keep([row], forgotten)
        return held

    async def loaded(self, stream: str) -> Held:
        """The stream with its log, unless it is `long`; concurrent callers share one read. Raises `StreamNotFound`."""
        while (held := await self.found(stream)).log is None and not held.long:
            if (load := self._loads.get(stream)) is None:
                self._loads[stream] = load = heard(asyncio.ensure_future(self._load(stream)))
                load.add_done_callback(lambda _: self._loads.pop(stream, None))
            await asyncio.shield(load)
        return held

    @property
    def forgotten(self) -> int:
        """How many streams were forgotten: a row that was read before the last of them may be that stream's."""
        return self._forgotten

    def keep(self, rows: list[Row], forgotten: int) -> None:
        """Caches rows that were read when so many streams had been `forgotten`, unless more were since."""
        for row in rows if forgotten == self._forgotten else ():
            # A row without a tail is that of a live stream, which was created, or has ended, a moment ago.
            if row.cursor is not None and not row.partial and self.held(row.record.id) is None:
                self._ended.put(Held(row.key, row.record, cursor=row.cursor))

    def fill(self, held: Held) -> None:
        """Adds a live stream, which can be appended to from now on."""
        held.queued = self.settled(held)
        self._live[held.record.id] = held

    def fall_back(self, queued: Queued) -> None:
        """Drops a stream's failed queue: new appends follow the committed tail."""
        held = self._live.get(queued.stream)
        if held is not None and held.queued is queued:
            held.queued = self.settled(held)

    def end(self, held: Held) -> None:
        """Notes that a live stream has ended: it stays in memory until it is `compacted`."""
        held.queued = None
        self._uncompacted[held.record.id] = self._live.pop(held.record.id)

    def compacted(self, held: Held) -> None:
        """Moves a stream that has ended to the cache, since its log has been put together in the file."""
        if held.charge is not None:
            held.charge.give_back()
            held.charge = None
        del self._uncompacted[held.record.id]
        self._ended.put(held)

    def settled(self, held: Held) -> Queued:
        """The `Queued` of a stream for which nothing is queued, and whose log has been read."""
        assert held.log is not None, "only a stream that has ended is held without its log"
        return Queued(held.record.id, held.log, self._max_bytes, held.charge)

    def drop(self, stream: str) -> Held | None:
        """Drops a stream that was forgotten, wakes its watchers, and returns it if it was in memory."""
        self._forgotten += 1
        held = self._live.pop(stream, None) or self._uncompacted.pop(stream, None) or self._ended.drop(stream)
        if held is not None:
            if held.charge is not None:
                held.charge.give_back()
            held.wake()
        return held

    def close(self) -> None:
        """Drops all streams, and wakes their watchers."""
        held = [*self._live.values(), *self._uncompacted.values(), *self._ended.clear()]
        self._live.clear()
        self._uncompacted.clear()
        self._forgotten += 1
        for each in held:
            each.wake()

    async def _load(self, stream: str) -> None:
        forgotten = self._forgotten
        found: tuple[Row, Log | KeptLog | None] = await self._ask(partial(reader.log_of, stream=stream))
        row, log = found
        if forgotten == self._forgotten:
            self.keep([row], forgotten)
            self._ended.load(stream, log)


def heard(answer: Future[T]) -> Future[T]:
    """The same future, whose error asyncio does not log if nobody retrieves it."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer
