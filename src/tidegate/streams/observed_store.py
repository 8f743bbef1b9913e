"""A store whose calls are measured: appends by the meter, and all calls by an observer that wants to know."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from tidegate.core.cursor import Cursor
from tidegate.core.events import Appendable, Event, Published
from tidegate.core.fold import Status
from tidegate.errors import InternalError, TidegateError
from tidegate.observe.base import StoreCall
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.meter import Meter
from tidegate.stores.base import Store
from tidegate.stores.records import Claim, Claimed, Fence, Look, Share, StreamRecord, TopicRecord

T = TypeVar("T")


class ObservedStore:
    """Wraps `store`; `appends` is told of each append and publication. Where there is a `tell`, it gets each call once
    it is over.

    Positions, reads and watches are not measured: there is one for each reader and turn of the loop, and most of them
    are answered from memory.
    """

    def __init__(
        self, store: Store, meter: Meter, appends: Appends, tell: Callable[[StoreCall], None] | None = None
    ) -> None:
        self._store = store
        self._appends = appends
        self._durations = meter.histogram("tidegate_store_append_seconds", store.name)
        self._tell = tell
        self._clock = appends.clock
        self.name = store.name
        self.outlives_process = store.outlives_process
        # As the store's own: one call less for each.
        self.tail = store.tail
        self.position = store.position
        self.read = store.read
        self.watch = store.watch
        self.join = store.join

    # The log

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> int | Future[int]:
        since = self._clock()
        self._appends.begin(fence.stream, since)
        try:
            answer = self._store.append(events, fence=fence, expected=expected)
        except Exception as error:
            self._appends.answer(fence.stream, self._clock())
            self._over("append", since, error)
            raise
        if isinstance(answer, Future):
            answer.add_done_callback(partial(self._answered, "append", fence.stream, since))
        else:
            now = self._clock()
            self._appends.answer(fence.stream, now)
            self._durations.observe(now - since)
            if self._tell is not None:
                self._over("append", since, None)
        return answer

    # The catalogue

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        return await self._awaited("create", self._store.create(record, events, claim=claim))

    async def claimed(self, claim: Claim) -> Claimed | None:
        return await self._awaited("claimed", self._store.claimed(claim))

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        return await self._awaited("acquire", self._store.acquire(stream, lease=lease))

    async def mark_running(self, fence: Fence) -> None:
        await self._awaited("mark_running", self._store.mark_running(fence))

    async def look(self, stream: str) -> Look:
        return await self._awaited("look", self._store.look(stream))

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        return await self._awaited("list", self._store.list(owner=owner, status=status, before=before, limit=limit))

    async def share(self, share: Share) -> None:
        await self._awaited("share", self._store.share(share))

    async def shared(self, digest: bytes) -> Share | None:
        return await self._awaited("shared", self._store.shared(digest))

    async def unshare(self, stream: str) -> None:
        await self._awaited("unshare", self._store.unshare(stream))

    async def forget(self, stream: str) -> None:
        await self._awaited("forget", self._store.forget(stream))

    # Topics

    async def open_topic(self, topic: str) -> Cursor:
        return await self._awaited("open_topic", self._store.open_topic(topic))

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Cursor | Future[Cursor]:
        since = self._clock()
        self._appends.begin(topic, since)
        try:
            answer = self._store.publish(topic, event, claim=claim)
        except Exception as error:
            self._appends.answer(topic, self._clock())
            self._over("publish", since, error)
            raise
        if isinstance(answer, Future):
            answer.add_done_callback(partial(self._answered, "publish", topic, since))
        else:
            self._appends.answer(topic, self._clock())
            self._over("publish", since, None)
        return answer

    async def topic(self, topic: str) -> TopicRecord:
        return await self._awaited("topic", self._store.topic(topic))

    # The store as a whole

    @property
    def fault(self) -> str | None:
        return self._store.fault

    async def open(self) -> Sequence[StreamRecord]:
        return await self._awaited("open", self._store.open())

    async def expire(self, before: float) -> int:
        return await self._awaited("expire", self._store.expire(before))

    async def close(self) -> None:
        await self._awaited("close", self._store.close())

    def _answered(self, operation: str, stream: str, since: float, done: Future[Any]) -> None:
        now, error = self._clock(), _failure(done)
        self._appends.answer(stream, now)
        if operation == "append" and error is None and not done.cancelled():
            self._durations.observe(now - since)
        self._over(operation, since, error)

    async def _awaited(self, operation: str, work: Awaitable[T]) -> T:
        since = self._clock()
        try:
            answer = await work
        except Exception as error:
            self._over(operation, since, error)
            raise
        self._over(operation, since, None)
        return answer

    def _over(self, operation: str, since: float, error: BaseException | None) -> None:
        if self._tell is None:
            return
        code = None if error is None else error.code if isinstance(error, TidegateError) else InternalError.code
        self._tell(StoreCall(self.name, operation, code, self._clock() - since))


def _failure(done: Future[Any]) -> BaseException | None:
    # A cancelled future means that its caller has gone, not that the store has failed.
    return None if done.cancelled() else done.exception()
