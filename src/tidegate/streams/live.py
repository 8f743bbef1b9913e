"""The streams that this node fills, whoever emits their events."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from tidegate.core.events import CancelledBy, Event, Terminal
from tidegate.errors import TidegateError
from tidegate.stores.cluster import Cluster


class LiveStream(Protocol):
    """A stream that has no end yet: a model fills it (`Generation`), or its own caller does (`ClientStream`)."""

    @property
    def stream(self) -> str:
        """Its id."""
        ...

    @property
    def position(self) -> int | None:
        """Its place in the queue of its model, from 1; None when it does not wait."""
        ...

    @property
    def ended(self) -> Future[Terminal]:
        """Is done with the terminal event once the store has it. Never raises."""
        ...

    @property
    def answered(self) -> Future[TidegateError | None]:
        """Is done once whoever fills it has accepted that, or with the error if it failed before. Never raises."""
        ...

    @property
    def failure(self) -> TidegateError | None:
        """The error that it has failed with: the log keeps neither its status nor its cause."""
        ...

    @property
    def can_move(self) -> bool:
        """Whether another node can go on with it from where it is now."""
        ...

    @property
    def outlives_process(self) -> bool:
        """Whether whoever fills it can go on once this process was restarted."""
        ...

    def cancel(self, by: CancelledBy, reason: str | None) -> None:
        """Ends the stream as `cancelled`, unless it has another end already."""
        ...

    def fail(self, error: TidegateError) -> None:
        """Ends the stream as `failed`, unless it has another end already."""
        ...

    def let_go(self) -> None:
        """Stops without an end: another process, or node, may take it over. For this one it is over, too."""
        ...

    async def append(self, token: str, expected: int, events: Sequence[Event]) -> tuple[int, bool]:
        """Appends what its caller has sent; the offset after the events, and whether they were new.

        Raises `Fenced` with any token but that of its lease, and where a model fills the stream; `OffsetMismatch`,
        `TooLong`, `StorageFull` or `StoreUnavailable`.
        """
        ...

    def knows(self, token: str) -> bool:
        """Whether this is the token of its present lease, as far as this node knows."""
        ...

    async def renew(self, lease: bytes) -> bool:
        """Gives the stream a new lease, whose token has this digest; False where it has ended, or is about to.

        Raises `Fenced` where a model fills the stream.
        """
        ...


class Handle(msgspec.Struct, frozen=True):
    """A started stream, or the earlier one that an idempotency key led to: it may have ended, or live elsewhere."""

    stream: str
    live: LiveStream | None = None


class LiveStreams:
    """The streams that this node fills, by their ids. The cluster knows that it holds them for as long."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._streams: dict[str, LiveStream] = {}

    def add(self, live: LiveStream) -> None:
        """The node, which holds the stream already (`holding`), begins to fill it."""
        self._streams[live.stream] = live

    def remove(self, live: LiveStream) -> None:
        """The stream is over for this node. Harmless when repeated, and where the node fills it anew."""
        if self.discard(live):
            self._cluster.let_go(live.stream)

    def discard(self, live: LiveStream) -> bool:
        """The same, but the cluster is not told; whether this has changed anything."""
        found = self._streams.get(live.stream) is live
        if found:
            del self._streams[live.stream]
        return found

    def pass_on(self, stream: str) -> LiveStream | None:
        """Another node holds the stream from now on: what has filled it here is let go, and answered if there was any.

        Nothing of it is told to the cluster, which has said so itself, or is about to be told.
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
        """Goes over those that there are now: they may come and go meanwhile."""
        return iter(tuple(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)
