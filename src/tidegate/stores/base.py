"""The port between the engine and the stores.

Every store keeps these promises, and the contract suite checks them:

- an append is atomic, carries its fence and the tail it expects, and repeating it is harmless;
- readers are woken, and can read an event, only after the store has it;
- a stream ends once, and nothing follows its terminal event;
- a read after a position that is no longer kept is answered with a `Gap`;
- what is kept is charged to the stream's owner, or to the event's publisher (`ledger`): past an account's limit its
  oldest ended streams are forgotten early, then topics that only it has published to, and never another account's;
  live streams are kept, and new data is refused with `StorageFull`;
- a topic is read and watched as a stream is, by its id (`core.topic.topic_id`), but is no stream: it has no end, no
  owner and no stream record, and every call for streams but `read`, `watch` and `tail` raises `StreamNotFound`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Protocol

from tidegate.core.cursor import Cursor
from tidegate.core.events import Appendable, Event, Published
from tidegate.core.fold import Status
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, Found, Look, Share, StreamRecord, TopicRecord, Unwatch


class Log(Protocol):
    """The events of streams and topics, by id: the hot path."""

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> int | Future[int]:
        """Appends after the offset `expected` and returns the new tail.

        A store that needs no I/O answers at once, so that readers are woken in the same callback; others answer
        with a future. Repeating an append that the log has is harmless, also after a takeover. Raises (or the future
        does) `Fenced`, `OffsetMismatch`, `StreamEnded`, `TooLong` past `max_generation_bytes`, or `StorageFull`; then
        nothing has changed. A terminal event is never refused for lack of room.
        """
        ...

    async def tail(self, stream: str) -> Cursor:
        """The position after the stream's last event."""
        ...

    async def position(self, stream: str, offset: int) -> Cursor:
        """The position after the event at the offset, which must not be beyond the tail; 0 is before the first."""
        ...

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        """Reads at most `limit` entries and `max_bytes` (but at least one entry) after the cursor; None: from the
        earliest entry kept.

        Answers at once where that needs no I/O, so that a reader can be served from its wake-up.
        """
        ...

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        """Calls `wake` on the loop's thread whenever there is more to read, or the stream is forgotten.

        Where there is no such stream: raises `StreamNotFound` if the store knows that at once, else calls `wake` soon,
        and `read` says so. `wake` must be quick and must not raise. Events between a `read` and a later `watch` wake
        nobody: watch first, then read.
        """
        ...


class Catalogue(Protocol):
    """The records of streams, their idempotency keys, and their share tokens."""

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        """Creates a stream with its first events and claims the idempotency key, both or neither.

        For a key that was claimed before returns `Claimed`, or raises `IdempotencyMismatch` if the body differed.
        A key is kept as long as its stream. Raises `StorageFull`.
        """
        ...

    async def claimed(self, claim: Claim) -> Claimed | None:
        """The earlier stream that `create` would return for this claim, if any. Raises `IdempotencyMismatch`."""
        ...

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        """Takes over a live stream: a new epoch begins at the tail, and older fences are void.

        `lease`, if given, replaces that of the record. Raises `StreamEnded`.
        """
        ...

    async def mark_running(self, fence: Fence) -> None:
        """Notes in the record that a provider has been asked."""
        ...

    async def look(self, stream: str) -> Look:
        """The stream's record and its tail."""
        ...

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        """The owner's streams (None: everybody's), newest first, after the stream `before` in that order."""
        ...

    async def share(self, share: Share) -> None:
        """Keeps the share as long as its stream. Raises `TooManyShares` beyond `MAX_SHARES` that have not expired."""
        ...

    async def shared(self, digest: bytes) -> Share | None:
        """The share with this digest; None where there is none, or no longer. An expired one may still be returned."""
        ...

    async def unshare(self, stream: str) -> None:
        """Drops all shares of the stream."""
        ...

    async def forget(self, stream: str) -> None:
        """Drops the stream, its log, its idempotency key and its shares."""
        ...


class Topics(Protocol):
    """Topics: logs without an end that clients publish to."""

    async def open_topic(self, topic: str) -> Cursor:
        """Makes the topic known, so that it can be read and watched, and returns its tail.

        A topic that nobody publishes to leaves nothing behind, and may be forgotten as soon as nobody watches it.
        """
        ...

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Cursor | Future[Cursor]:
        """Appends to the topic, which need not be known, and returns the event's position, at once or by a future.

        The events of one caller are kept in the order of its calls, whether it waits for the answers or not. The last
        `topic_history` events are kept, or fewer if they are large. For a claim that the topic has, the earlier event's
        position is returned and nothing is published; a claim is kept as long as its event is in the history. Raises
        `StreamNotFound` if the id is not a topic's; all other errors, e.g. `IdempotencyMismatch` and `StorageFull`, are
        those of the future where the store answers with one.
        """
        ...

    async def topic(self, topic: str) -> TopicRecord:
        """The topic's record."""
        ...


class Store(Log, Catalogue, Topics, Protocol):
    """A store of logs. Calls for a stream or topic that does not exist raise `StreamNotFound`.

    Calls whose I/O fails raise `StoreUnavailable`; then nothing has changed, and the call may be repeated.
    """

    name: str
    """The store's name in the configuration: the scheme of its URL."""

    outlives_process: bool
    """Whether acknowledged data survives the process, including the requests of live streams.

    Only then can a live stream continue after a restart; another node can continue it with any store.
    """

    @property
    def fault(self) -> str | None:
        """Why nothing written now could ever be read again, for the operator; None where the store is sound."""
        ...

    async def open(self) -> Sequence[StreamRecord]:
        """Opens the store, and returns the live streams that no process fills any more, to be acquired.

        A store that several processes share returns none: only its cluster knows who lives, and offers them.

        Raises `ConfigError` where the store cannot be used as it is, `InUse` where another process has it.
        """
        ...

    def join(self, node: str, lease_seconds: float) -> Cluster:
        """Adds a node that works on the store, under a name that no other node has."""
        ...

    async def expire(self, before: float) -> int:
        """Forgets streams that ended, and unwatched topics that were last published to, before this time; returns how
        many.

        The time is in Unix seconds. A topic is forgotten with its history, its state and its idempotency keys.
        """
        ...

    async def close(self) -> None:
        """Frees the store's resources; the last node that leaves calls it."""
        ...
