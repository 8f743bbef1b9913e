"""The live streams of this node, whether a model or a client fills them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from tidegate.core.events import CancelledBy, Event, Terminal
from tidegate.errors import TidegateError
from tidegate.stores.cluster import Cluster


class LiveStream(Protocol):
    """A stream that has no end yet, filled by a model (`Generation`) or by its own caller (`ClientStream`)."""

    @property
    def stream(self) -> str:
        """The stream's id."""
        ...

    @property
    def position(self) -> int | None:
        """The place in its model's queue, from 1; None when the stream does not wait."""
        ...

    @property
    def ended(self) -> Future[Terminal]:
        """A future of the terminal event, done once the store has that event. Never raises."""
        ...

    @property
    def answered(self) -> Future[TidegateError | None]:
        """A future, done with None once the producer has accepted the request, or with the error of a stream that
        failed before. Never raises."""
        ...

    @property
    def failure(self) -> TidegateError | None:
        """The error that the stream has failed with; the log keeps neither the error's status nor its cause."""
        ...

    @property
    def can_move(self) -> bool:
        """Whether another node can continue the stream from where it is now."""
        ...

    @property
    def needs_readers(self) -> bool:
        """Whether the stream is ended as soon as its last owner reader has left."""
        ...

    @property
    def outlives_process(self) -> bool:
        """Whether the stream's producer can continue it after a restart of this process."""
        ...

    def cancel(self, by: CancelledBy, reason: str | None) -> None:
        """Ends the stream as `cancelled`, unless it has another end already."""
        ...

    def fail(self, error: TidegateError) -> None:
        """Ends the stream as `failed`, unless it has another end already."""
        ...

    def let_go(self) -> None:
        """Stops filling the stream without ending it, so that another process or node may take it over."""
        ...

    async def append(self, token: str, expected: int, events: Sequence[Event]) -> tuple[int, bool]:
        """Appends events that the caller has sent; the offset after them, and whether they were new.

        Raises `Fenced` if the token is not that of the lease, or if a model fills the stream; `OffsetMismatch`,
        `TooLong`, `StorageFull` or `StoreUnavailable`.
        """
        ...

    def knows(self, token: str) -> bool:
        """Whether this is the token of the stream's latest lease, as far as this node knows."""
        ...

    async def renew(self, lease: bytes) -> bool:
        """Gives the stream a new lease, whose token has this digest; False where the stream has ended or is ending.

        Raises `Fenced` where a model fills the stream.
        """
        ...


class Handle(msgspec.Struct, frozen=True):
    """A started stream, or the earlier one of the idempotency key; `live` is None if this node does not fill it."""

    stream: str
    live: LiveStream | None = None


class LiveStreams:
    """The streams that this node fills, by their ids. The cluster knows for as long that this node holds them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._streams: dict[str, LiveStream] = {}

    def add(self, live: LiveStream) -> None:
        """Adds a stream that the node begins to fill, and already holds (`holding`)."""
        self._streams[live.stream] = live

    def remove(self, live: LiveStream) -> None:
        """Removes a stream that is over for this node, and tells the cluster.

        Harmless when repeated, and when the node fills the stream anew by another object.
        """
        if self.discard(live):
            self._cluster.let_go(live.stream)

    def discard(self, live: LiveStream) -> bool:
        """Removes a stream without telling the cluster; whether it was there."""
        found = self._streams.get(live.stream) is live
        if found:
            del self._streams[live.stream]
        return found

    def pass_on(self, stream: str) -> LiveStream | None:
        """Stops filling a stream that another node holds from now on; returns what filled it here, if anything did.

        The cluster is not told here: it said so itself, or the caller is about to tell it.
        """
        live = self._streams.pop(stream, None)
        if live is not None:
            live.let_go()
        return live

    def get(self, stream: str) -> LiveStream | None:
        return self._streams.get(stream)

    def __contains__(self, stream: str) -> bool:
        return stream in self._streams

    def __iter__(self) -> Iterator[LiveStream]:
        """Iterates over a copy, since streams may be added and removed meanwhile."""
        return iter(tuple(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)
