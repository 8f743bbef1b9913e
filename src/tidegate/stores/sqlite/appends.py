"""Appends to streams: checked against what is queued before them, and shown to readers once they are committed."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import Any, cast

import msgspec

from tidegate.core.events import Appendable, Terminal
from tidegate.core.log import Entry
from tidegate.stores.records import Fence, asked_only
from tidegate.stores.sqlite import changes, reader
from tidegate.stores.sqlite.accounts import Accounts
from tidegate.stores.sqlite.compactor import Compactor
from tidegate.stores.sqlite.journal import append_json
from tidegate.stores.sqlite.published import PublishedRow
from tidegate.stores.sqlite.queued import Queued
from tidegate.stores.sqlite.stream_cache import Held
from tidegate.stores.sqlite.streams import Ask, Streams
from tidegate.stores.sqlite.writer import Change, Group, Line, Write


class Append:
    """A write of events that are not the last of their stream: one for each token, so it has no closures."""

    __slots__ = (
        "_entries",
        "_held",
        "_news",
        "_queued",
        "_size",
        "answer",
        "append",
        "change",
        "error",
        "line",
        "published",
        "result",
    )

    def __init__(
        self,
        answer: Future[int],
        held: Held,
        queued: Queued,
        entries: Sequence[Entry],
        size: int,
        news: dict[Held, None],
    ) -> None:
        self.answer = answer
        self.line: Line = queued
        self.append: bytes | None = append_json(held.key, queued.tail, entries)
        self.published: PublishedRow | None = None
        self.change: Callable[[Connection], Any] | None = None
        self.result: Any = None
        self.error: Exception | None = None
        self._held = held
        self._queued = queued
        self._entries = entries
        self._size = size
        self._news = news

    def apply(self, _: None) -> int:
        """Adds the events to the log, and returns its tail."""
        entries = self._entries
        self._held.whole.add(entries, self._size, ended=False)
        self._queued.committed(entries)
        self._news[self._held] = None
        return entries[-1].offset


class Appends:
    """Takes appends, and tells readers of them; belongs on the loop's thread."""

    def __init__(
        self, streams: Streams, accounts: Accounts, compactor: Compactor, ask: Ask, now: Callable[[], float]
    ) -> None:
        self._streams = streams
        self._accounts = accounts
        self._compactor = compactor
        self._ask = ask
        self._now = now
        self._news: dict[Held, None] = {}

    def take(
        self, answer: Future[int], held: Held, queued: Queued, events: Sequence[Appendable], epoch: str, expected: int
    ) -> Write:
        """The write of an append to a live stream. Raises as `Store.append` does; then nothing has changed."""
        if not queued.place(events, epoch, expected) or not events:
            tail = expected + len(events)
            return Change(answer, queued, apply=lambda _: tail)
        before = queued.size
        entries = queued.take(events)
        if queued.ended:
            return self._end(answer, held, queued, entries)
        return Append(answer, held, queued, entries, queued.size - before, self._news)

    async def repeat(self, events: Sequence[Appendable], fence: Fence, expected: int) -> int:
        """As `Store.append`, for a stream that has ended: an append that it has already can be repeated."""
        held = await self._streams.loaded(fence.stream)
        if held.log is not None:
            return self.repeated(held, events, fence, expected)
        return await self._ask(
            partial(reader.repeated, stream=fence.stream, events=events, epoch=fence.epoch, expected=expected)
        )

    def repeated(self, ended: Held, events: Sequence[Appendable], fence: Fence, expected: int) -> int:
        """As `repeat`, for a stream whose log is in memory."""
        self._streams.settled(ended).place(events, fence.epoch, expected)
        return expected + len(events)

    def forget(self, held: Held) -> None:
        """Notes that a stream was forgotten: there is nothing more to be told, or compacted, of it."""
        self._news.pop(held, None)
        self._compactor.forget(held)

    def committed(self, group: Group) -> None:
        """Wakes the readers of what was appended by the group's writes, once for each stream."""
        if group.next == group.first:
            return
        # Rows count also where all of their streams were forgotten in the same group.
        news = tuple(self._news)
        self._news.clear()
        for held in news:
            held.wake()
        self._compactor.journaled(news, group.first, group.next - 1, group.size)

    def _end(self, answer: Future[int], held: Held, queued: Queued, entries: Sequence[Entry]) -> Write:
        end, at = cast("Terminal", entries[-1].event), round(self._now(), 3)
        asked = asked_only(held.record.request)

        def ended(charged: int) -> int:
            held.record = msgspec.structs.replace(
                held.record, end=end, ended_at=at, request=asked, grace=None, lease=b""
            )
            held.whole.extend(entries)
            queued.committed(entries)
            if held.charge is not None:
                self._accounts.end(held.record, held.charge, charged)
            self._streams.end(held)
            self._compactor.ended(held)
            self._news[held] = None
            return entries[-1].offset

        change = partial(
            changes.end, key=held.key, end=end, ended_at=at, tail=queued.tail, size=queued.size, asked=asked
        )
        row = append_json(held.key, queued.tail, entries)
        return Change(answer, queued, append=row, change=change, apply=ended)
