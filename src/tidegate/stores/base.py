"""The port between the engine and where logs live.

What every store keeps, and the contract suite holds it to:

- an append is atomic, carries its fence and the tail it expects, and repeating it is harmless;
- readers are woken, and can read an event, only after the store has it;
- a stream ends once, and nothing follows its terminal event;
- what is no longer kept is answered with a `Gap`;
- what is kept is charged to whoever owns the stream, or published the event (`ledger`): past its own limit an account's
  oldest ended streams are forgotten early, then topics that only it has published to, and never another's; what is
  live is kept, and what is to come is refused with `StorageFull`;
- a topic is read and watched as a stream is, by its id (`core.topic.topic_id`), but is none: it has no end, no owner
  and no record among the streams, and every call of theirs but `read`, `watch` and `tail` raises `StreamNotFound`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Protocol

from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, Published
from tidegate.core.fold import Status
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, Found, Look, Share, StreamRecord, TopicRecord, Unwatch


class Log(Protocol):
    """The events of streams, and of topics by their ids: the hot path."""

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> int | Future[int]:
        """Appends after the offset `expected` and answers with the new tail.

        A store that needs no I/O answers at once, so that readers are woken in the same callback; others answer
        by a future. Repeating an append that the log has is harmless, also after a takeover. Raises (or the future
        does) `Fenced`, `OffsetMismatch`, `StreamEnded`, `TooLong` past `max_generation_bytes`, or `StorageFull`; then
        nothing has changed. An end is never refused for want of room.
        """
        ...

    async def tail(self, stream: str) -> Cursor:
        """The position after the stream's last event."""
        ...

    async def position(self, stream: str, offset: int) -> Cursor:
        """The position after the event at the offset, which is at the most that of the tail; 0 is before the first."""
        ...

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        """At most `limit` entries and, but for the first, `max_bytes` after the cursor; None: from the earliest kept.

        Answers at once where that needs no I/O, so that a reader can be served from its wake-up.
        """
        ...

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        """Calls `wake` on the loop's thread whenever there is more to read, or the stream is forgotten.

        `wake` must be quick and must not raise. Events between a `read` and a later `watch` wake nobody:
        watch first, then read.
        """
        ...


class Catalogue(Protocol):
    """Which streams there are, whose they are, and who may read them."""

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        """Opens a stream with its first events and claims the idempotency key, both or neither.

        A key that was claimed before answers `Claimed`, or raises `IdempotencyMismatch` if its body differed.
        A key is kept as long as its stream. Raises `StorageFull`.
        """
        ...

    async def claimed(self, claim: Claim) -> Claimed | None:
        """Whether `create` would answer this claim with an earlier stream. Raises `IdempotencyMismatch`."""
        ...

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        """Takes over the filling of a live stream: a new epoch begins at the tail and older fences are void.

        `lease` replaces the record's, where it is given. Raises `StreamEnded`.
        """
        ...

    async def mark_running(self, fence: Fence) -> None:
        """Notes that a provider has been asked."""
        ...

    async def look(self, stream: str) -> Look:
        """What is known of the stream, and its tail."""
        ...

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        """The owner's streams (None: everybody's), newest first, after the stream `before` in that order."""
        ...

    async def share(self, share: Share) -> None:
        """Keeps the share as long as its stream. Raises `TooManyShares` beyond `MAX_SHARES` that have not expired."""
        ...

    async def shared(self, digest: bytes) -> Share | None:
        """The share; None where there is none, or none any more. One that has expired may still be answered."""
        ...

    async def unshare(self, stream: str) -> None:
        """Drops all shares of the stream."""
        ...

    async def forget(self, stream: str) -> None:
        """Drops the stream, its log, its idempotency key and its shares."""
        ...


class Topics(Protocol):
    """Open-ended streams that clients fill."""

    async def open_topic(self, topic: str) -> Cursor:
        """Makes the topic known, so that it can be read and watched, and answers its tail.

        One that nobody publishes to leaves nothing behind, and may be forgotten as soon as nobody watches it.
        """
        ...

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Cursor | Future[Cursor]:
        """Appends to the topic, which need not be known, and answers the event's position, as `append` does.

        What one caller publishes is kept in the order of its calls, whether it waits for the answers or not. Of the
        events the last `topic_history` are kept, or fewer where they are large. A claim that the topic has answers
        the earlier event's position, and the event is not published again; it is kept as long as that event is in
        the history. Raises `StreamNotFound` where the id is not a topic's; the rest, `IdempotencyMismatch` and
        `StorageFull` among it, a store that answers by a future says by that.
        """
        ...

    async def topic(self, topic: str) -> TopicRecord:
        """Where the topic stands."""
        ...


class Store(Log, Catalogue, Topics, Protocol):
    """Where logs live. Calls on a stream or a topic that is not there raise `StreamNotFound`.

    What needs I/O raises `StoreUnavailable` where that fails; then nothing has changed, and it may be tried again.
    """

    name: str
    """What it is called in the configuration: the scheme of its URL."""

    outlives_process: bool
    """Whether what it has acknowledged is there for the next process, requests of live streams among it.

    Another node may go on with a live stream whatever the store; this is what lets a restart go on with it.
    """

    @property
    def fault(self) -> str | None:
        """Why nothing it takes would ever be found again, for its operator; None where that is not so."""
        ...

    async def open(self) -> Sequence[StreamRecord]:
        """Gets ready, and answers the streams that have no end though nobody fills them any more: `acquire` them.

        Raises `ConfigError` where the store can never be used as it is, `TidegateError` where another process has it.
        """
        ...

    def join(self, node: str, lease_seconds: float) -> Cluster:
        """Makes this a node of those that work on the store, by a name that no other has."""
        ...

    async def expire(self, before: float) -> int:
        """Forgets what ended, or was last published to and is watched by nobody, before then; answers how many.

        The time is in Unix seconds. A topic goes with its history, its state and its idempotency keys.
        """
        ...

    async def close(self) -> None:
        """Frees what the store holds; the last node that leaves calls it."""
        ...
