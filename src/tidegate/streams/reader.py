"""One attachment of one client to one stream: reads the log from its own cursor, and waits at the tail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from tidegate.core.batching import Batcher, BatchPolicy, merge
from tidegate.core.cursor import Cursor
from tidegate.core.events import TERMINAL_TYPES
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Reconnect
from tidegate.stores.base import Store

READ_LIMIT = 512
"""Entries per read: bounds what one slow reader holds, and is enough to make a replay cheap."""

BEHIND = 64
"""A live reader that finds more entries than this at once has fallen behind, and gets neighbouring text merged."""


class Reader:
    """Yields what follows its cursor: entries, a gap, or the request to reconnect.

    Made by the service, which also counts it; `close` may be called more than once and from any callback.
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
        self.left = asyncio.Event()
        self._reconnect: Reconnect | None = None
        self._store = store
        self._live_from = live_from
        self._batcher = Batcher(batch)
        self._on_close = on_close
        self._wakeup = asyncio.Event()
        self._unwatch = store.watch(stream, self._wakeup.set)

    async def next(self, silence: float) -> Sequence[Entry] | Gap | Reconnect | None:
        """What comes next; None after `silence` seconds without anything, and when the reader is closed.

        After the terminal event `at_end` is true. Raises `StreamNotFound` when the stream was forgotten before
        the reader had its end.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + silence
        while not self.left.is_set():
            self._wakeup.clear()
            if self._reconnect is not None:
                return self._flushed() or self._reconnect
            found = await self._read()
            if isinstance(found, Gap):
                return found
            if batch := self._batcher.add(found, loop.time()) if found else self._due(loop.time()):
                self._note(batch)
                return batch
            if not found:
                await self._wait(min(give_up, self._batcher.deadline()))
                if loop.time() >= give_up and not self._wakeup.is_set():
                    return self._flushed() or None
        return None

    def ask_to_reconnect(self, notice: Reconnect) -> None:
        """The next thing that `next` yields is this notice, after what is held back for batching."""
        self.told = True
        self._reconnect = notice
        self._wakeup.set()

    def close(self) -> None:
        """Detaches the reader and wakes whoever waits in `next`."""
        if not self.left.is_set():
            self.left.set()
            self._unwatch()
            self._wakeup.set()
            self._on_close(self)

    async def _read(self) -> Sequence[Entry] | Gap:
        found = await self._store.read(self.stream, self.position, READ_LIMIT)
        if isinstance(found, Gap):
            self.position = found.to
        elif found:
            self.position = found[-1].cursor
            if found[0].offset > self._live_from and len(found) > BEHIND:
                return merge(found)
        return found

    def _due(self, now: float) -> Sequence[Entry]:
        return self._batcher.flush() if self._batcher.deadline() <= now else ()

    def _flushed(self) -> Sequence[Entry]:
        batch = self._batcher.flush()
        self._note(batch)
        return batch

    def _note(self, batch: Sequence[Entry]) -> None:
        self.delivered += len(batch)
        self.at_end = bool(batch) and isinstance(batch[-1].event, TERMINAL_TYPES)

    async def _wait(self, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wakeup.wait()
