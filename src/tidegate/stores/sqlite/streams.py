"""The streams in memory, the live ones and some that have ended, and the way to those that are in the file alone."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable
from functools import partial
from sqlite3 import Connection
from typing import Any, TypeVar

from tidegate.core.log import Log
from tidegate.stores.sqlite import reader
from tidegate.stores.sqlite.rows import Row
from tidegate.stores.sqlite.stream_cache import Held, Queued, StreamCache

T = TypeVar("T")

Ask = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
"""Asks the file. Raises `StoreUnavailable`."""


class Streams:
    """Belongs on the loop's thread, as what it holds. A stream that is live is never looked for in the file."""

    def __init__(self, ask: Ask, max_bytes: int) -> None:
        self._ask = ask
        self._max_bytes = max_bytes
        self._live: dict[str, Held] = {}
        self._ended = StreamCache()
        self._loads: dict[str, Future[None]] = {}
        self._forgotten = 0

    def held(self, stream: str) -> Held | None:
        """The stream, if it is in memory."""
        return self._live.get(stream) or self._ended.get(stream)

    def live(self, stream: str) -> Held | None:
        """The stream, if it is live."""
        return self._live.get(stream)

    async def found(self, stream: str) -> Held:
        """The stream; its log has perhaps not been read. Raises `StreamNotFound`."""
        while (held := self.held(stream)) is None:
            forgotten = self._forgotten
            row = await self._ask(partial(reader.row_of, stream=stream))
            self.keep([row], forgotten)
        return held

    async def loaded(self, stream: str) -> Held:
        """The stream with its log, unless it is `long`; who ask for it at once share it. Raises `StreamNotFound`."""
        while (held := await self.found(stream)).log is None and not held.long:
            if (load := self._loads.get(stream)) is None:
                self._loads[stream] = load = heard(asyncio.ensure_future(self._load(stream)))
                load.add_done_callback(lambda _: self._loads.pop(stream, None))
            await asyncio.shield(load)
        return held

    @property
    def forgotten(self) -> int:
        """How often a stream was forgotten: what was read from the file before the last time may be of one that is."""
        return self._forgotten

    def keep(self, rows: list[Row], forgotten: int) -> None:
        """Holds what was read from the file while so many had been `forgotten`."""
        for row in rows if forgotten == self._forgotten else ():
            # A row without a tail is of a live stream, which has been created, or has ended, a moment ago.
            if row.cursor is not None and not row.partial and self.held(row.record.id) is None:
                self._ended.put(Held(row.key, row.record, cursor=row.cursor))

    def fill(self, held: Held) -> None:
        """A live stream: from here on it can be appended to."""
        held.queued = self.settled(held)
        self._live[held.record.id] = held

    def fall_back(self, queued: Queued) -> None:
        """What was queued has failed: what comes now follows what is committed."""
        held = self._live.get(queued.stream)
        if held is not None and held.queued is queued:
            held.queued = self.settled(held)

    def end(self, held: Held) -> None:
        """A live stream has its end."""
        held.queued = held.charge = None
        del self._live[held.record.id]
        self._ended.put(held)

    def settled(self, held: Held) -> Queued:
        """What is asked of a stream for which nothing is queued is decided by this."""
        return Queued(held.record.id, held.whole, self._max_bytes, held.charge)

    def drop(self, stream: str) -> None:
        """A stream is forgotten, and whoever waits for it is woken."""
        self._forgotten += 1
        held = self._live.pop(stream, None) or self._ended.drop(stream)
        if held is not None:
            if held.charge is not None:
                held.charge.give_back()
            held.wake()

    def close(self) -> None:
        """Lets go of all of them, and wakes whoever waits."""
        held = [*self._live.values(), *self._ended.clear()]
        self._live.clear()
        self._forgotten += 1
        for each in held:
            each.wake()

    async def _load(self, stream: str) -> None:
        forgotten = self._forgotten
        found: tuple[Row, Log | None] = await self._ask(partial(reader.log_of, stream=stream))
        row, log = found
        if forgotten == self._forgotten:
            self.keep([row], forgotten)
            self._ended.load(stream, log)


def heard(answer: Future[T]) -> Future[T]:
    """Nobody need listen for its error."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer
