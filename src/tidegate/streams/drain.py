"""The end of a node: what is live finishes, is handed over or is ended, and its readers are sent away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, MutableMapping

from tidegate.core.notices import DRAINING
from tidegate.core.topic import is_topic
from tidegate.errors import Interrupted
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.streams.audience import PARTING_SECONDS, Audience
from tidegate.streams.generation import Generation
from tidegate.streams.leased import Leased
from tidegate.streams.leases import Live
from tidegate.streams.models import Model

logger = logging.getLogger("tidegate.streams")


class Drain:
    """Works on what the service has: the `live` streams, and the `tasks` of generations."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        audience: Audience,
        models: Mapping[str, Model],
        live: MutableMapping[str, Live],
        tasks: Collection[asyncio.Task[None]],
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._audience = audience
        self._models = models
        self._live = live
        self._tasks = tasks

    async def run(self, seconds: float) -> None:
        """Lets the live generations finish for so long, ends the rest, and sends readers away."""
        if self._cluster.others:
            # Another node can serve the readers, too.
            await self._hand_over()
            self._send_away()
        leased = [live.ended for live in self._live.values() if isinstance(live, Leased)]
        working = {*self._tasks, *(() if self._store.outlives_process else leased)}
        if working:
            logger.info("draining: %d generations may finish for %g s", len(working), seconds)
            await asyncio.wait(working, timeout=seconds)
        await self.interrupt()
        audience = self._audience
        # Those of ended streams leave once they have had the end; nothing else makes the others go.
        await audience.parted([reader for reader in audience.readers if self._has_ended(reader.stream)])
        self._send_away()
        await audience.parted(audience.readers)

    async def interrupt(self) -> None:
        """Ends what a restarted process could not go on with; who fills a stream that outlives it may come back."""
        if self._cluster.others:
            # Producers may have come since.
            await self._hand_over()
        for live in tuple(self._live.values()):
            if isinstance(live, Generation) or not (self._store.outlives_process or self._cluster.others):
                live.fail(Interrupted("the server stopped before the answer was complete"))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PARTING_SECONDS)

    async def _hand_over(self) -> None:
        """Another node goes on with what can be gone on with, whatever the store."""
        for live in tuple(self._live.values()):
            if self._live.get(live.stream) is live and (isinstance(live, Leased) or self._is_movable(live)):
                del self._live[live.stream]
                live.let_go()
                await self._cluster.hand_over(live.stream)

    def _is_movable(self, generation: Generation) -> bool:
        """Whether another node can go on with it; what no provider has been asked for yet begins there."""
        model = self._models.get(generation.model)
        return model is not None and (model.can_continue or not generation.producer.is_running)

    def _send_away(self) -> None:
        for reader in self._audience.readers:
            self._audience.send_away(reader, DRAINING)

    def _has_ended(self, stream: str) -> bool:
        return stream not in self._live and not is_topic(stream)
