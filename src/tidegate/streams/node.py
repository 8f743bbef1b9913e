"""This process as one of the nodes over a store: what it fills, takes over and hands over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context

from tidegate.core.events import CancelledBy
from tidegate.errors import CancelTimeout, StoreUnavailable
from tidegate.observe.base import Observer
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cancel, Cluster, Command, Moved, Orphan, Revoked
from tidegate.stores.records import Look, StreamRecord
from tidegate.streams.client_streams import ClientStreams
from tidegate.streams.drain import Drain
from tidegate.streams.generations import Generations
from tidegate.streams.history import ended
from tidegate.streams.live import LiveStreams
from tidegate.streams.membership import Membership
from tidegate.streams.models import Model, has_failed
from tidegate.streams.quotas import Quotas
from tidegate.streams.readers import Readers
from tidegate.streams.takeover import Takeover
from tidegate.streams.timing import Timing

logger = logging.getLogger("tidegate.streams")


class Node:
    """Fills streams: models do by its `generations`, their own callers by its `leases`.

    `now` is in Unix seconds, `clock` in seconds of any origin.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        audience: Readers,
        models: Mapping[str, Model],
        quotas: Quotas,
        *,
        observer: Observer,
        lease_seconds: float,
        now: Callable[[], float],
        clock: Callable[[], float],
        random_bits: Callable[[int], int],
        timing: Timing,
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
        )
        self.leases = ClientStreams(
            store, cluster, self.live, quotas, seconds=lease_seconds, now=now, random_bits=random_bits, timing=timing
        )
        self.draining = False
        self._store = store
        self._cluster = cluster
        self._audience = audience
        self._lease_seconds = lease_seconds
        self._timing = timing
        self._takeover = Takeover(
            store,
            cluster,
            self.live,
            models,
            quotas,
            adopt=self.leases.adopt,
            launch=self.generations.launch,
            timing=timing,
        )
        self._membership = Membership(
            cluster, lease_seconds, hear=self._hear, lost=self._lose, take_over=self._takeover.of
        )
        self._opening: asyncio.Task[None] | None = None
        self._drain = Drain(cluster, audience, self.live, self.generations.tasks, timing=timing)

    # From its start to its end

    @property
    def is_open(self) -> bool:
        """Whether `open` has been called, and is done."""
        return self._opening is not None and self._opening.done() and not has_failed(self._opening)

    async def open(self) -> None:
        """Opens the store, once, and takes over what a process that is gone has left; also after a `close`.

        Raises `ConfigError`, or `TidegateError` where another process has the store.
        """
        self.draining = False
        if self._opening is None or has_failed(self._opening):
            # What is taken over is nothing of the request that happened to be first.
            self._opening = asyncio.get_running_loop().create_task(self._open(), context=Context())
        await asyncio.shield(self._opening)

    async def drain(self, seconds: float) -> None:
        """Hands over, lets the rest finish for so long, ends what is left, and sends readers away."""
        self.draining = True
        self._membership.adopt_no_more()
        await self._drain.run(seconds)

    async def stop(self) -> None:
        """Ends at once what is left of generations, as far as the store and the providers let it."""
        self.draining = True
        await self._drain.interrupt()
        await self.generations.stop()

    async def leave(self) -> None:
        """Leaves the other nodes, and closes the store behind the last one."""
        self._takeover.close()
        self._membership.adopt_no_more()
        for live in self.live:
            if live.can_move:
                await self._cluster.hand_over(live.stream)
            live.let_go()
        await self._membership.stop()
        if not self._cluster.others:
            await self._store.close()
        self._opening = None

    async def _open(self) -> None:
        orphans = await self._store.open()
        self._membership.start()
        await asyncio.gather(*(self._takeover.of(Orphan(record)) for record in orphans))

    async def end(self, record: StreamRecord, by: CancelledBy, reason: str | None) -> Look:
        """Ends the stream as cancelled, wherever it is filled, and looks at it then: another end may have won.

        Raises `CancelTimeout`, and `StoreUnavailable` where nobody fills it, since the store could not write its end.
        """
        try:
            async with asyncio.timeout(self._lease_seconds + 2):
                while (found := await self._store.look(record.id)).record.end is None:
                    self._tell_to_end(record.id, by, reason)
                    # Whoever was told may have died, or the stream gone elsewhere meanwhile, even here.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._timing.told_again):
                            return await ended(self._store, record.id)
                return found
        except TimeoutError:
            raise CancelTimeout("the stream has not ended in time; it may still do so") from None

    def _tell_to_end(self, stream: str, by: CancelledBy, reason: str | None) -> None:
        if (live := self.live.get(stream)) is not None:
            live.cancel(by, reason)
        elif self._cluster.others:
            self._cluster.tell(Cancel(stream, by, reason))
        else:
            raise StoreUnavailable("the stream's process is gone, and the store cannot write its end yet")

    # What it hears of the others

    def _hear(self, command: Command) -> None:
        match command:
            case Cancel(stream, by, reason):
                if (live := self.live.get(stream)) is not None:
                    live.cancel(by, reason)
            case Moved(stream):
                # It may have come back since.
                if not self._cluster.holds(stream):
                    self._lose(stream)
            case Revoked(stream):
                self._audience.send_guests_away(stream)

    def _lose(self, stream: str) -> None:
        if self.live.pass_on(stream) is not None:
            logger.warning("stream %s is filled by another node now", stream)
