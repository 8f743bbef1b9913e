"""A reader: one attachment of one client to one stream. It reads the log from its own cursor and waits at the tail."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from contextlib import suppress

from tidegate.core.batching import Batcher, BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import ENDS
from tidegate.core.log import Entry, Page
from tidegate.core.notices import Gap, Notice, Presence, Reconnect, Subscribed
from tidegate.core.unheeded import unheeded
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Store
from tidegate.stores.records import Found

READ_LIMIT = 512
"""Entries per read: few enough to bound what one slow reader holds, and many enough for a cheap replay."""

READ_BYTES = 65536
"""JSON bytes per read, but at least one entry: as much as may wait in the reader's connection."""

BEHIND = 64
"""A live reader that finds more entries than this at once has fallen behind: their neighbouring text may be merged."""


MOST_NOTICES = 64
"""Notices that may wait for a reader that takes nothing; beyond them it misses some arrivals and departures."""

NEVER = float("inf")


class Reader:
    """Yields what follows its cursor: entries as the log has them, a gap, or a notice, e.g. to reconnect.

    `take` answers at once, for a connection that writes from the wake-up (`on_news`); `next` waits. The service makes
    readers and counts them. `close` may be called more than once and from any callback.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_batcher",
        "_lead",
        "_live_from",
        "_notices",
        "_on_close",
        "_reconnect",
        "_stale",
        "_store",
        "_under_way",
        "_unwatch",
        "_wake",
        "_wakeup",
        "at_end",
        "behind",
        "delivered",
        "left",
        "mergeable",
        "more",
        "position",
        "stream",
        "told",
    )

    def __init__(
        self,
        store: Store,
        stream: str,
        *,
        after: Cursor | None,
        live_from: int,
        batch: BatchPolicy,
        on_close: Callable[[Reader], None],
    ) -> None:
        self.stream = stream
        self.position = after
        self.delivered = 0
        self.at_end = False
        self.told = False
        self.more = False
        self.behind = False
        self.mergeable = False
        self.left = False
        self._reconnect: Reconnect | None = None
        self._notices: list[Notice] = []
        self._store = store
        self._live_from = live_from
        self._batcher = Batcher(batch) if batch.max_tokens > 1 else None
        self._on_close = on_close
        self._lead: tuple[Reader, int] | None = None
        self._under_way: Future[Found] | None = None
        self._again = False
        self._stale = False
        self._wakeup: asyncio.Event | None = None
        self._wake: Callable[[], None] = _nothing
        self._unwatch: Callable[[], object] = _nothing

    @property
    def at(self) -> Cursor | None:
        """The position after the delivered entries: its own or, while it follows a lead, the lead's."""
        return self.position if self._lead is None else self._lead[0].position

    def on_news(self, wake: Callable[[], None]) -> None:
        """Calls `wake` on the loop's thread whenever `take` may have something; it must be quick and must not raise."""
        self._unwatch()
        self._wake = wake
        self._unwatch = self._store.watch(self.stream, wake)

    def twin(self) -> Reader:
        """Another reader at the same position, which does not count as a reader of the stream."""
        return Reader(
            self._store,
            self.stream,
            after=self.position,
            live_from=self._live_from,
            batch=BatchPolicy(),
            on_close=_nothing,
        )

    def go_along(self, lead: Reader) -> bool:
        """Goes along with another reader, the lead: what that takes counts as taken here, and only it is woken.

        False where the two readers' states differ. A reader that goes along and is woken all the same has to `part`.
        """
        alike = self.position == lead.position and not (self.at_end or self.more or self.behind)
        busy = self._under_way is not None or self._reconnect is not None or bool(self._notices)
        if not alike or busy or self._batcher is not None or self.left:
            return False
        self._unwatch()
        self._unwatch = _nothing
        self._lead = (lead, lead.delivered)
        return True

    def part(self) -> None:
        """Stops following, at the lead's position, and is woken by itself again."""
        if self._lead is not None:
            lead, delivered = self._lead
            self._lead = None
            self.position, self.at_end, self.more = lead.position, lead.at_end, lead.more
            self.delivered += lead.delivered - delivered
            if not self.left:
                # If the stream was forgotten meanwhile, `take` raises that.
                with suppress(StreamNotFound):
                    self._unwatch = self._store.watch(self.stream, self._wake)

    def take(self, now: float) -> Sequence[Entry] | Notice | None:
        """What can be sent at once; None if there is nothing until the next wake-up or `deadline`. `now` is the loop's
        time.

        After the terminal event `at_end` is true. Raises `StreamNotFound` when the stream was forgotten before
        the reader had its end.
        """
        if self._notices or self._batcher is not None or self._reconnect is not None or self._under_way is not None:
            return self._take_other(now)
        found = self._store.read(self.stream, self.position, limit=READ_LIMIT, max_bytes=READ_BYTES)
        if isinstance(found, Page):
            return self._take_entries(found) or None
        return self._take_gap(found) if isinstance(found, Gap) else self._await_read(found)

    def fall_behind(self) -> None:
        """Notes that there may be news which cannot be taken now; what is taken next may be merged."""
        self.behind = True
        # A read that is under way may have been too early for the news.
        self._again = True

    def deadline(self) -> float:
        """When the entries held back for batching are due, in the loop's time; infinite when none are."""
        return self._batcher.deadline() if self._batcher is not None else NEVER

    async def next(self, silence: float) -> Sequence[Entry] | Notice | None:
        """Waits for the next entries or notice; None after `silence` seconds without any, or once the reader closes."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + silence
        if self._wakeup is None:
            self._wakeup = asyncio.Event()
            self.on_news(self._wakeup.set)
        while not self.left:
            self._wakeup.clear()
            if (found := self.take(loop.time())) is not None:
                return found
            if loop.time() >= give_up:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(give_up, self.deadline())):
                    await self._wakeup.wait()
        return None

    def tell(self, notice: Subscribed | Presence) -> None:
        """Yields this notice next."""
        if len(self._notices) < MOST_NOTICES:
            self._notices.append(notice)
            self._wake()

    def ask_to_reconnect(self, notice: Reconnect) -> None:
        """Yields this notice next, after the entries that are held back for batching."""
        self.told = True
        self._reconnect = notice
        self._wake()

    def close(self) -> None:
        """Detaches the reader and wakes its waiter."""
        if not self.left:
            self.left = True
            self.part()
            self._unwatch()
            self._wake()
            self._on_close(self)

    def _take_other(self, now: float) -> Sequence[Entry] | Notice | None:
        """What `take` returns where more than the log's next entries has to be looked at."""
        if self._notices:
            self.more = True
            return self._notices.pop(0)
        if self._batcher is not None:
            return self._take_batched(self._batcher, now)
        if self._reconnect is not None:
            return self._reconnect
        found = self._read()
        return (self._take_entries(found) or None) if isinstance(found, Page) else self._take_gap(found)

    def _read(self) -> Found | None:
        """What the store has after the position; None while a read is under way."""
        if self._under_way is not None:
            return self._read_result(self._under_way)
        answer = self._store.read(self.stream, self.position, limit=READ_LIMIT, max_bytes=READ_BYTES)
        return self._await_read(answer) if isinstance(answer, Future) else answer

    def _await_read(self, answer: Future[Found]) -> None:
        self._under_way = answer
        self._again = False
        answer.add_done_callback(self._answered)

    def _read_result(self, under_way: Future[Found]) -> Found | None:
        if not under_way.done():
            # Woken while a read is under way: the read may have been too early for the news.
            self._again = True
            return None
        found, self._under_way = under_way.result(), None
        if isinstance(found, Gap) or found.entries or not self._again:
            self._stale = self._again
            return found
        return self._read()

    def _take_gap(self, found: Gap | None) -> Gap | None:
        if found is not None:
            self.position = found.to
            self.more = True
        return found

    def _take_entries(self, found: Page) -> Sequence[Entry]:
        entries = found.entries
        self.more = found.more or self._stale
        self._stale = False
        if entries:
            catches_up = (self.behind or len(entries) > BEHIND) and self._catches_up(found)
            self.mergeable = catches_up or self._batcher is not None
            self.position = found.after
            self.delivered += len(entries)
            self.at_end = entries[-1].json.startswith(ENDS)
        return entries

    def _take_batched(self, batcher: Batcher, now: float) -> Sequence[Entry] | Notice | None:
        if self._reconnect is not None:
            return self._before(batcher, self._reconnect)
        while (found := self._read()) is not None:
            if isinstance(found, Gap):
                return self._before(batcher, found)
            entries = self._take_entries(found)
            if not entries:
                return batcher.flush() if batcher.deadline() <= now else None
            if batch := batcher.add(entries, now):
                return batch
        # A read is under way; entries that are due do not wait for it.
        return (batcher.flush() or None) if batcher.deadline() <= now else None

    def _before(self, batcher: Batcher, notice: Gap | Reconnect) -> Sequence[Entry] | Notice | None:
        """Yields the entries held back first; the next `take`, to be called at once, finds the notice again."""
        held = batcher.flush()
        if held:
            self.more = True
            return held
        return self._take_gap(notice) if isinstance(notice, Gap) else notice

    def _catches_up(self, found: Page) -> bool:
        """Whether these entries may be merged, since the reader was live when they came; a replay is not merged."""
        if not self.behind and found.entries[0].offset <= self._live_from:
            return False
        self.behind = self.behind and found.more
        return True

    def _answered(self, done: Future[Found]) -> None:
        # A reader that has left never retrieves the result.
        unheeded(done)
        self._wake()


def _nothing(_: object = None) -> None:
    pass
