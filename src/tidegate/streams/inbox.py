"""A bounded queue from native threads into the event loop.

Threads fill a buffer; the loop empties the whole buffer at once. The loop is woken when the buffer stops being empty,
not once per item, and a thread that finds the buffer full waits: a fast native decoder floods neither the loop nor the
memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tidegate.errors import StreamEnded

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A buffer of at most `capacity` items between many threads and one loop.

    `deliver` runs on the loop with all waiting items, and must not raise; the items of one thread keep their order.
    `put` is for other threads, everything else for the loop's own thread.
    """

    def __init__(self, capacity: int, deliver: Callable[[list[Item]], None], loop: asyncio.AbstractEventLoop) -> None:
        self._capacity = capacity
        self._deliver = deliver
        self._loop = loop
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._items: list[Item] = []
        self._scheduled = False
        self._paused = False
        self._closed = False
        self._settlers: list[asyncio.Future[None]] = []
        self._wakeups = 0

    @property
    def wakeups(self) -> int:
        """How many times the loop was woken to empty the buffer."""
        return self._wakeups

    def put(self, item: Item) -> None:
        """Adds one item, from any thread but the loop's. Waits while the buffer is full.

        Raises `StreamEnded` once the inbox or the loop is closed, also in a thread that was waiting.
        """
        with self._lock:
            self._wait_for_room()
            self._items.append(item)
            wake = self._claim_drain()
        if wake:
            self._wake()

    def pause(self) -> None:
        """Delivers nothing until `resume`; once the buffer is full, threads wait."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Delivers again, beginning with the waiting items."""
        with self._lock:
            self._paused = False
            wake = bool(self._items) and self._claim_drain()
        if wake:
            self._wake()

    def close(self) -> None:
        """Takes no more items, and drops those not yet delivered. Harmless when repeated."""
        self._shut()
        self._settle()

    async def settled(self) -> None:
        """Waits until every item whose `put` has returned is delivered, or the inbox is closed."""
        with self._lock:
            if not self._items:
                return
        settler = self._loop.create_future()
        self._settlers.append(settler)
        await settler

    def _wait_for_room(self) -> None:
        while True:
            if self._closed or self._loop.is_closed():
                raise StreamEnded("the stream takes no more events")
            if len(self._items) < self._capacity:
                return
            # A loop that closes notifies nobody, so a waiting thread checks by itself.
            self._room.wait(timeout=0.5)

    def _claim_drain(self) -> bool:
        """Whether the caller, which holds the lock, is the one that has to wake the loop."""
        if self._scheduled or self._paused:
            return False
        self._scheduled = True
        self._wakeups += 1
        return True

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            self._shut()
            raise StreamEnded("the stream takes no more events") from None

    def _drain(self) -> None:
        with self._lock:
            self._scheduled = False
            if self._paused:
                return
            items, self._items = self._items, []
            self._room.notify_all()
        try:
            if items:
                self._deliver(items)
        finally:
            self._settle()

    def _shut(self) -> None:
        with self._lock:
            self._closed = True
            self._items = []
            self._room.notify_all()

    def _settle(self) -> None:
        settlers, self._settlers = self._settlers, []
        for settler in settlers:
            if not settler.done():
                settler.set_result(None)
