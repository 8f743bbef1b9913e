"""A store that reports how long each of its calls takes."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from tidegate.core.cursor import Cursor
from tidegate.core.events import Appendable, Event, Published
from tidegate.core.fold import Status
from tidegate.errors import InternalError, TidegateError
from tidegate.observe.base import StoreCall
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, Found, Look, Share, StreamRecord, TopicRecord, Unwatch

T = TypeVar("T")
Position = TypeVar("Position", int, Cursor)


class ObservedStore:
    """Wraps `store` and passes each call, once it is over, to `tell`. `clock` is in seconds.

    Positions, reads and watches are not reported: there is one for each reader and turn of the loop, and most of them
    are answered from memory.
    """

    def __init__(
        self, store: Store, tell: Callable[[StoreCall], None], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._tell = tell
        self._clock = clock
        self.name = store.name
        self.outlives_process = store.outlives_process

    # The log

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> int | Future[int]:
        return self._answered("append", lambda: self._store.append(events, fence=fence, expected=expected))

    async def tail(self, stream: str) -> Cursor:
        return await self._store.tail(stream)

    async def position(self, stream: str, offset: int) -> Cursor:
        return await self._store.position(stream, offset)

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        return self._store.read(stream, after, limit=limit, max_bytes=max_bytes)

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        return self._store.watch(stream, wake)

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
        return self._answered("publish", lambda: self._store.publish(topic, event, claim=claim))

    async def topic(self, topic: str) -> TopicRecord:
        return await self._awaited("topic", self._store.topic(topic))

    # The store as a whole

    @property
    def fault(self) -> str | None:
        return self._store.fault

    async def open(self) -> Sequence[StreamRecord]:
        return await self._awaited("open", self._store.open())

    def join(self, node: str, lease_seconds: float) -> Cluster:
        return self._store.join(node, lease_seconds)

    async def expire(self, before: float) -> int:
        return await self._awaited("expire", self._store.expire(before))

    async def close(self) -> None:
        await self._awaited("close", self._store.close())

    def _answered(self, operation: str, call: Callable[[], Position | Future[Position]]) -> Position | Future[Position]:
        since = self._clock()
        try:
            answer = call()
        except Exception as error:
            self._over(operation, since, error)
            raise
        if isinstance(answer, Future):
            answer.add_done_callback(lambda done: self._over(operation, since, _failure(done)))
        else:
            self._over(operation, since, None)
        return answer

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
        code = None if error is None else error.code if isinstance(error, TidegateError) else InternalError.code
        self._tell(StoreCall(self.name, operation, code, self._clock() - since))


def _failure(done: Future[Any]) -> BaseException | None:
    # A cancelled future means that its caller has gone, not that the store has failed.
    return None if done.cancelled() else done.exception()
