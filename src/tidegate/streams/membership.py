"""This node's membership in the cluster: it renews its lease, hears commands, and takes over orphaned streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidegate.errors import StoreUnavailable
from tidegate.stores.cluster import Cluster, Command, Orphan
from tidegate.stores.records import Unwatch

RENEWALS = 8
"""Renewals per lease: a node's death is noticed at most this fraction of a lease late."""

MOST_SECONDS = 0.5
"""The longest time between two renewals, so that a dead node's streams are taken over within a second after its lease
has expired."""

logger = logging.getLogger("tidegate.streams")


class Outage:
    """Logs once that a node cannot do something for want of the store, and once that it can again: both are tried
    several times a second, and a store may be away for hours."""

    def __init__(self, node: str, work: str) -> None:
        self._node = node
        self._work = work
        self._lasts = False

    def goes_on(self, error: StoreUnavailable) -> None:
        if not self._lasts:
            logger.warning("node %s cannot %s: %s", self._node, self._work, error.message)
        self._lasts = True

    def is_over(self) -> None:
        if self._lasts:
            logger.warning("node %s can %s again", self._node, self._work)
        self._lasts = False


class Membership:
    """Runs from `start` to `stop`. `hear` is given the commands of other nodes, `lost` the id of each stream that
    another node fills now, `take_over` each orphan."""

    def __init__(
        self,
        cluster: Cluster,
        lease_seconds: float,
        *,
        hear: Callable[[Command], None],
        lost: Callable[[str], None],
        take_over: Callable[[Orphan], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self._seconds = min(lease_seconds / RENEWALS, MOST_SECONDS)
        self._hear = hear
        self._lost = lost
        self._take_over = take_over
        self._renewing: asyncio.Task[None] | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._adoptions: set[asyncio.Task[None]] = set()
        self._unwatch: Unwatch | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._unwatch = self._cluster.listen(self._hear)
        self._renewing = loop.create_task(self._renew())
        self._adopting = loop.create_task(self._adopt_orphans())

    @property
    def is_adopting(self) -> bool:
        """Whether there are orphans that are taken over, or are about to be."""
        return bool(self._adoptions or self._cluster.orphaned)

    def adopt_no_more(self) -> None:
        """Stops looking for orphans, since this node is about to leave; takeovers under way are completed."""
        if self._adopting is not None:
            self._adopting.cancel()

    async def stop(self) -> None:
        """Leaves the cluster. Harmless if the membership was never started."""
        tasks = [task for task in (self._renewing, self._adopting, *self._adoptions) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        await self._cluster.leave()

    async def _renew(self) -> None:
        outage = Outage(self._cluster.node, "renew what it holds")
        while True:
            try:
                for stream in await self._cluster.renew():
                    self._lost(stream)
                outage.is_over()
            except StoreUnavailable as error:
                outage.goes_on(error)
            except Exception:
                # A node that a bug kept from renewing would be taken for dead.
                logger.exception("node %s failed in renewing what it holds", self._cluster.node)
            await asyncio.sleep(self._seconds)

    async def _adopt_orphans(self) -> None:
        outage = Outage(self._cluster.node, "look for what nobody fills")
        while True:
            try:
                async for orphan in self._cluster.orphans():
                    outage.is_over()
                    adoption = asyncio.get_running_loop().create_task(self.adopt(orphan))
                    self._adoptions.add(adoption)
                    adoption.add_done_callback(self._adoptions.discard)
            except StoreUnavailable as error:
                outage.goes_on(error)
            except Exception:
                logger.exception("node %s failed in looking for what nobody fills", self._cluster.node)
            await asyncio.sleep(self._seconds)

    async def adopt(self, orphan: Orphan) -> None:
        """Takes the orphan over. After an unexpected error it is one again, a little later."""
        try:
            await self._take_over(orphan)
        except Exception:
            logger.exception("stream %s could not be taken over", orphan.record.id)
            await asyncio.sleep(self._seconds)
            await self._cluster.hand_over(orphan.record.id)
