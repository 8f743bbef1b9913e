"""One attachment of one client to one stream: reads the log from its own cursor, and waits at the tail."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from contextlib import suppress

from tidegate.core.batching import Batcher, BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.log import Entry, Page
from tidegate.core.notices import Gap, Notice, Presence, Reconnect, Subscribed
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Store
from tidegate.stores.records import Found

READ_LIMIT = 512
"""Entries per read: bounds what one slow reader holds, and is enough to make a replay cheap."""

READ_BYTES = 65536
"""JSON bytes per read, but one entry at the least: as much as may wait in the reader's connection."""

BEHIND = 64
"""A live reader that finds more entries than this at once has fallen behind: their neighbouring text may be merged."""


MOST_NOTICES = 64
"""That wait for a reader that takes nothing; what it misses is that somebody came or went."""

NEVER = float("inf")


class Reader:
    """Yields what follows its cursor: entries as the log has them, a gap, or the request to reconnect.

    `take` answers at once, for a transport that writes from the wake-up (`on_news`); `next` waits. Made by the
    service, which also counts it; `close` may be called more than once and from any callback.
    """

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
        """The position after what was delivered, its own or that of whom it goes along with."""
        return self.position if self._lead is None else self._lead[0].position

    def on_news(self, wake: Callable[[], None]) -> None:
        """Calls this, on the loop's thread, whenever `take` may have something; it must be quick and not raise."""
        self._unwatch()
        self._wake = wake
        self._unwatch = self._store.watch(self.stream, wake)

    def twin(self) -> Reader:
        """Another reader at the same position, which nobody counts."""
        return Reader(
            self._store,
            self.stream,
            after=self.position,
            live_from=self._live_from,
            batch=BatchPolicy(),
            on_close=_nothing,
        )

    def go_along(self, lead: Reader) -> bool:
        """Goes along with another reader: what that one takes counts as taken here, and only it has the news.

        False where the two do not stand alike. A following reader that is woken all the same has to `part`.
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
        """Stands where the other does, and has its own news again."""
        if self._lead is not None:
            lead, delivered = self._lead
            self._lead = None
            self.position, self.at_end, self.more = lead.position, lead.at_end, lead.more
            self.delivered += lead.delivered - delivered
            if not self.left:
                # The news of a stream that was forgotten meanwhile is what `take` says of it.
                with suppress(StreamNotFound):
                    self._unwatch = self._store.watch(self.stream, self._wake)

    def take(self, now: float) -> Sequence[Entry] | Notice | None:
        """What can be sent at once; None until there is more news, or `deadline`. `now` is the loop's time.

        After the terminal event `at_end` is true. Raises `StreamNotFound` when the stream was forgotten before
        the reader had its end.
        """
        if self._notices:
            self.more = True
            return self._notices.pop(0)
        if self._batcher is not None:
            return self._take_batched(self._batcher, now)
        if self._reconnect is not None:
            return self._reconnect
        found = self._read()
        if found is None or isinstance(found, Gap):
            return self._take_gap(found)
        return self._take_entries(found) or None

    def deadline(self) -> float:
        """When what is held back for batching is due, in the loop's time; infinite when nothing is."""
        return self._batcher.deadline() if self._batcher is not None else NEVER

    async def next(self, silence: float) -> Sequence[Entry] | Notice | None:
        """Waits for what comes next; None after `silence` seconds without anything, or when the reader is closed."""
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
        """The next thing to be yielded is this notice."""
        if len(self._notices) < MOST_NOTICES:
            self._notices.append(notice)
            self._wake()

    def ask_to_reconnect(self, notice: Reconnect) -> None:
        """The next thing to be yielded is this notice, after what is held back for batching."""
        self.told = True
        self._reconnect = notice
        self._wake()

    def close(self) -> None:
        """Detaches the reader and wakes whoever waits for it."""
        if not self.left:
            self.left = True
            self.part()
            self._unwatch()
            self._wake()
            self._on_close(self)

    def _read(self) -> Found | None:
        """What the store has after the position; None while it is still looking."""
        if self._under_way is not None:
            if not self._under_way.done():
                # Woken while the store is looking: what came may be too late for that look.
                self._again = True
                return None
            found, self._under_way = self._under_way.result(), None
            if isinstance(found, Gap) or found.entries or not self._again:
                self._stale = self._again
                return found
            return self._read()
        answer = self._store.read(self.stream, self.position, limit=READ_LIMIT, max_bytes=READ_BYTES)
        if isinstance(answer, Future):
            self._under_way = answer
            self._again = False
            answer.add_done_callback(self._answered)
            return None
        return answer

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
            self.at_end = found.at_end
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
        # The store is still looking: what is due is not held back for that.
        return (batcher.flush() or None) if batcher.deadline() <= now else None

    def _before(self, batcher: Batcher, notice: Gap | Reconnect) -> Sequence[Entry] | Notice | None:
        """What is held back goes first; the notice is found again by the next `take`, which is asked for at once."""
        held = batcher.flush()
        if held:
            self.more = True
            return held
        return self._take_gap(notice) if isinstance(notice, Gap) else notice

    def _catches_up(self, found: Page) -> bool:
        """Whether it was live when these came, or its client did not keep up: a replay is not merged."""
        if not self.behind and found.entries[0].offset <= self._live_from:
            return False
        self.behind = self.behind and found.more
        return True

    def _answered(self, done: Future[Found]) -> None:
        if not done.cancelled():
            # A reader that has left does not ask what came of it, and asyncio would log that nobody did.
            done.exception()
        self._wake()


def _nothing(_: object = None) -> None:
    pass
