"""A live stream that its own caller fills over the network, for as long as that caller renews its lease."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, TypeVar

from tidegate.core.events import (
    TERMINAL_TYPES,
    Cancelled,
    CancelledBy,
    Content,
    Event,
    Terminal,
    Usage,
)
from tidegate.core.pause import READ_SECONDS, was_paused
from tidegate.core.unheeded import unheeded
from tidegate.errors import (
    Fenced,
    Interrupted,
    OffsetMismatch,
    StoreUnavailable,
    StreamEnded,
    TidegateError,
    TooLong,
)
from tidegate.stores.base import Store
from tidegate.stores.records import Fence
from tidegate.streams.ending import failed, write_end
from tidegate.streams.timing import Timing

T = TypeVar("T")


def digest(token: str) -> bytes:
    """The SHA-256 of a lease's token, which is all the server keeps of the token."""
    return sha256(token.encode()).digest()


class ClientStream:
    """The `LiveStream` that its own caller fills; readers that leave do not end it.

    The timer is lazy: a renewal only moves the deadline. Before the lease expires the timer fires once more, since
    what the producer sent while this process was paused has to be read first. `over` is called once the store has the
    end, or once this node no longer fills the stream.
    """

    position = None
    can_move = True
    needs_readers = False

    def __init__(
        self,
        store: Store,
        fence: Fence,
        tail: int,
        lease: bytes,
        seconds: float,
        over: Callable[[ClientStream], None],
        *,
        timing: Timing,
    ) -> None:
        self.stream = fence.stream
        self.failure: TidegateError | None = None
        self.is_fenced = False  # another node has acquired the stream
        self.ended: Future[Terminal] = asyncio.get_running_loop().create_future()
        self.outlives_process = store.outlives_process
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._fence = fence
        self._tail = tail
        self._lease = lease
        self._seconds = seconds
        self._over = over
        self._pieces = 0
        self._unsure: Sequence[Event] = ()
        self._turn = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    @property
    def answered(self) -> Future[TidegateError | None]:
        answered: Future[TidegateError | None] = self._loop.create_future()
        answered.set_result(None)
        return answered

    async def renew(self, lease: bytes) -> bool:
        """Replaces the lease after the caller has opened the stream again; the old token is fenced."""
        return await self._unbroken(self._renew(lease))

    async def _renew(self, lease: bytes) -> bool:
        async with self._turn:
            if self._ending is not None or self.ended.done():
                return False
            try:
                self._fence = await self._store.acquire(self.stream, lease=lease)
            except StreamEnded:
                return False
            self._lease = lease
            self._postpone()
            return True

    async def append(self, token: str, expected: int, events: Sequence[Event]) -> tuple[int, bool]:
        """Appends the events and renews the lease; without events it only renews. `TooLong` ends the stream."""
        return await self._unbroken(self._append(token, expected, events))

    async def _append(self, token: str, expected: int, events: Sequence[Event]) -> tuple[int, bool]:
        async with self._turn:
            if self._ending is not None or not self.knows(token):
                raise Fenced("this lease is not, or no longer, the one that fills the stream")
            self._postpone()
            if not events and expected != self._tail:
                raise OffsetMismatch(f"the stream's tail is {self._tail}, not {expected}", tail=self._tail)
            tail = await self._stored(events, expected)
            # The commit may have taken long, and the producer could not renew meanwhile.
            self._postpone()
            fresh, self._tail = tail > self._tail, max(self._tail, tail)
            self._pieces += sum(isinstance(event, Content) for event in events) if fresh else 0
            if events and isinstance(end := events[-1], TERMINAL_TYPES):
                self._finish(end)
            return tail, fresh

    def knows(self, token: str) -> bool:
        """Whether the token is that of the stream's latest lease, as far as this node knows."""
        return compare_digest(digest(token), self._lease)

    def cancel(self, by: CancelledBy, reason: str | None) -> None:
        self._end(Cancelled(by, reason, self._usage()))

    def fail(self, error: TidegateError) -> None:
        if self._ending is None and not self.ended.done():
            self.failure = error
        self._end(failed(error, self._usage()))

    def let_go(self) -> None:
        self._timer.cancel()
        if self._ending is not None:
            self._ending.cancel()
        if not self.ended.done():
            self.ended.set_result(failed(Fenced("another node fills this stream now"), self._usage()))
        self._over(self)

    async def _stored(self, events: Sequence[Event], expected: int) -> int:
        self._unsure = ()
        try:
            answer = self._store.append(events, fence=self._fence, expected=expected)
            return await answer if isinstance(answer, Future) else answer
        except StoreUnavailable:
            if expected == self._tail:
                self._unsure = events
            raise
        except TooLong as error:
            self.fail(error)
            raise
        except Fenced:
            self.is_fenced = True
            self.let_go()
            raise

    async def _unbroken(self, work: Coroutine[Any, Any, T]) -> T:
        """Completes the work even if its caller is cancelled, so that this object agrees with the store."""
        task = self._loop.create_task(work)
        # Where its caller has gone, nobody else looks at its error, and asyncio would log that.
        task.add_done_callback(unheeded)
        return await asyncio.shield(task)

    def _postpone(self) -> None:
        self._deadline = self._loop.time() + self._seconds

    def _end(self, end: Terminal) -> None:
        if self._ending is None and not self.ended.done():
            self._ending = self._loop.create_task(self._append_end(end))

    async def _append_end(self, end: Terminal) -> None:
        async with self._turn:
            if self.ended.done():
                return
            unsure = self._unsure
            if unsure and isinstance(last := unsure[-1], TERMINAL_TYPES):
                end, unsure = last, unsure[:-1]
            try:
                await write_end(self._store, self._fence, self._tail, end, unsure=unsure, retry=self._timing.retry)
            except TidegateError as error:
                # The stream was forgotten, or the append under way has ended it: there is nothing left to end here.
                self.is_fenced = isinstance(error, Fenced)
            self._finish(end)

    def _finish(self, end: Terminal) -> None:
        if not self.ended.done():
            self._timer.cancel()
            self.ended.set_result(end)
            self._over(self)

    def _usage(self) -> Usage:
        return Usage(0, self._pieces, self._pieces, estimated=True)

    def _on_timer(self) -> None:
        now = self._loop.time()
        if now < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._turn.locked():
            # An append or a renewal is under way, which shows that the producer is alive.
            self._timer = self._loop.call_later(self._seconds, self._on_timer)
        elif now < self._deadline + READ_SECONDS or was_paused(self._timer.when(), now):
            self._timer = self._loop.call_later(READ_SECONDS, self._on_timer)
        else:
            self.fail(Interrupted("the producer has not renewed its lease"))
