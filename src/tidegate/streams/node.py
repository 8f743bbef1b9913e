"""This process as one of the nodes over a store: it fills streams, takes them over and hands them over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context

from tidegate.core.events import CancelledBy
from tidegate.errors import CancelTimeout, StoreUnavailable
from tidegate.observe.base import Observer
from tidegate.observe.metrics.meter import Meter
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cancel, Cluster, Command, Moved, Orphan, Revoked
from tidegate.stores.records import Look, StreamRecord
from tidegate.streams.client_streams import ClientStreams
from tidegate.streams.drain import Drain
from tidegate.streams.generation import Generation
from tidegate.streams.generations import Generations
from tidegate.streams.history import ended
from tidegate.streams.live import LiveStreams
from tidegate.streams.membership import Membership
from tidegate.streams.models import Model
from tidegate.streams.quotas import Quotas
from tidegate.streams.readers import Readers
from tidegate.streams.started_provider import has_failed
from tidegate.streams.takeover import Takeover
from tidegate.streams.timing import Timing

logger = logging.getLogger("tidegate.streams")


class Node:
    """Fills streams: `generations` are filled by models, `client_streams` by their callers.

    `now` is in Unix seconds, `clock` in seconds of any origin.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        readers: Readers,
        models: Mapping[str, Model],
        quotas: Quotas,
        *,
        observer: Observer,
        lease_seconds: float,
        now: Callable[[], float],
        clock: Callable[[], float],
        random_bits: Callable[[int], int],
        timing: Timing,
        meter: Meter,
    ) -> None:
        self.live = LiveStreams(cluster)
        self.generations = Generations(
            store,
            cluster,
            self.live,
            quotas,
            observer=observer,
            now=now,
            clock=clock,
            random_bits=random_bits,
            timing=timing,
            meter=meter,
        )
        self.client_streams = ClientStreams(
            store, cluster, self.live, quotas, seconds=lease_seconds, now=now, random_bits=random_bits, timing=timing
        )
        self.draining = False
        self._store = store
        self._cluster = cluster
        self._readers = readers
        self._lease_seconds = lease_seconds
        self._timing = timing
        self._takeover = Takeover(
            store,
            cluster,
            self.live,
            models,
            quotas,
            adopt=self.client_streams.adopt,
            launch=self.generations.launch,
            observer=observer,
            now=now,
            timing=timing,
        )
        self._membership = Membership(
            cluster, lease_seconds, hear=self._hear, lost=self._lose, take_over=self._takeover.of
        )
        self._opening: asyncio.Task[None] | None = None
        self._drain = Drain(cluster, self._membership, readers, self.live, self.generations.tasks, timing=timing)

    # From its start to its end

    @property
    def is_open(self) -> bool:
        """Whether `open` has been called, and is done."""
        return self._opening is not None and self._opening.done() and not has_failed(self._opening)

    async def open(self) -> None:
        """Opens the store, once, and takes over the streams that a dead process has left; also after `leave`.

        Raises `ConfigError`, or `InUse` where another process has the store.
        """
        self.draining = self._readers.moving_on = False
        if self._opening is None or has_failed(self._opening):
            # Takeovers do not belong to the trace of the first request.
            self._opening = asyncio.get_running_loop().create_task(self._open(), context=Context())
            # Whoever waited may have given up, and asyncio would log an exception that nobody has looked at.
            self._opening.add_done_callback(has_failed)
        await asyncio.shield(self._opening)

    async def drain(self, seconds: float, siblings: int = 0) -> None:
        """Hands streams over, gives the others `seconds` to finish, ends the rest, and sends readers away.

        So many `siblings` among the other nodes stop at the same time, and are left nothing.
        """
        self.draining = True
        await self._drain.run(seconds, siblings)

    async def stop(self) -> None:
        """Ends the remaining generations at once, as far as the store and the providers allow."""
        self.draining = True
        await self._drain.interrupt()
        await self.generations.stop()

    async def leave(self) -> None:
        """Leaves the cluster, and closes the store if this was its last node."""
        self._takeover.close()
        self._membership.adopt_no_more()
        for live in self.live:
            if live.can_move:
                await self._cluster.hand_over(live.stream)
            live.let_go()
        await self._membership.stop()
        if self._cluster.is_last:
            await self._store.close()
        self._opening = None

    async def _open(self) -> None:
        orphans = await self._store.open()
        self._membership.start()
        await asyncio.gather(*(self._membership.adopt(Orphan(record)) for record in orphans))

    async def end(self, record: StreamRecord, by: CancelledBy, reason: str | None) -> Look:
        """Ends the stream as cancelled, whichever node fills it, and returns its state then: another end may have won.

        Raises `CancelTimeout`, and `StoreUnavailable` where no node fills the stream, since the store could not write
        its end.
        """
        try:
            async with asyncio.timeout(self._lease_seconds + 2):
                while (found := await self._store.look(record.id)).record.end is None:
                    self._tell_to_end(record.id, by, reason)
                    # The node that was told may have died, or the stream may have moved since, even to this node.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._timing.told_again):
                            return await ended(self._store, record.id)
                return found
        except TimeoutError:
            raise CancelTimeout("the stream has not ended in time; it may still do so") from None

    def stop_here(self, stream: str, owner: str, reason: str | None) -> None:
        """Ends a generation that this node fills for the owner; its end is written once the store can write."""
        if isinstance(live := self.live.get(stream), Generation) and live.owner == owner:
            live.cancel("client", reason)

    def _tell_to_end(self, stream: str, by: CancelledBy, reason: str | None) -> None:
        if (live := self.live.get(stream)) is not None:
            live.cancel(by, reason)
        elif self._cluster.others:
            self._cluster.tell(Cancel(stream, by, reason))
        elif self._takeover.is_waiting(stream) or not self._cluster.holds(stream):
            raise StoreUnavailable("the stream's process is gone, and the store cannot write its end yet")

    # Commands of other nodes

    def _hear(self, command: Command) -> None:
        match command:
            case Cancel(stream, by, reason):
                if (live := self.live.get(stream)) is not None:
                    live.cancel(by, reason)
            case Moved(stream):
                self._drain.moved(stream)
                # The stream may have come back to this node since.
                if not self._cluster.holds(stream):
                    self._lose(stream)
            case Revoked(stream):
                self._readers.send_guests_away(stream)

    def _lose(self, stream: str) -> None:
        if (live := self.live.pass_on(stream)) is not None:
            # A caller that fills its stream through a balancer comes to another node with each append.
            level = logging.DEBUG if live.outlives_process else logging.WARNING
            logger.log(level, "stream %s is filled by another node now", stream)
