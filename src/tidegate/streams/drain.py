"""The stop of a node: live streams finish, are handed over or are ended, and readers are asked to reconnect."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection

from tidegate.core.notices import DRAINING
from tidegate.core.topic import is_topic
from tidegate.errors import Interrupted
from tidegate.stores.cluster import Cluster
from tidegate.streams.live import LiveStream, LiveStreams
from tidegate.streams.on_disconnect import COUNT
from tidegate.streams.reader import Reader
from tidegate.streams.readers import Readers
from tidegate.streams.timing import Timing

logger = logging.getLogger("tidegate.streams")


class Drain:
    """Empties a node of its `live` streams, the `tasks` of its generations, and its readers."""

    def __init__(
        self,
        cluster: Cluster,
        readers: Readers,
        live: LiveStreams,
        tasks: Collection[asyncio.Task[None]],
        *,
        timing: Timing,
    ) -> None:
        self._cluster = cluster
        self._readers = readers
        self._live = live
        self._tasks = tasks
        self._timing = timing

    async def run(self, seconds: float) -> None:
        """Gives the live streams `seconds` to finish, ends the rest, and sends the readers away."""
        if self._cluster.others:
            # Another node can serve the readers as well.
            await self._hand_over()
            self._send_away([reader for reader in self._readers.attached if self._readers.can_return(reader)])
        ends = [live.ended for live in self._live if not live.outlives_process]
        if ends or self._tasks:
            logger.info("draining: %d generations may finish for %g s", len(ends), seconds)
            await asyncio.wait({*self._tasks, *ends}, timeout=seconds)
        await self.interrupt()
        readers = self._readers
        # Readers of ended streams leave by themselves once they have the end; all others have to be sent away.
        await readers.parted([reader for reader in readers.attached if self._has_ended(reader.stream)])
        self._send_away(readers.attached)
        await readers.parted(readers.attached)

    async def interrupt(self) -> None:
        """Ends the streams that a restarted process could not continue; producers of the others may come back."""
        if self._cluster.others:
            # Producers may have come to this node since the first hand-over.
            await self._hand_over()
        unable = self._readers.unable_to_return()
        for live in self._live:
            if not (live.outlives_process or (self._cluster.others and self._moves(live, unable))):
                live.fail(Interrupted("the server stopped before the answer was complete"))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timing.parting)

    async def _hand_over(self) -> None:
        """Hands every stream that can move to another node, whatever the store."""
        unable = self._readers.unable_to_return()
        for live in self._live:
            if self._live.get(live.stream) is live and self._moves(live, unable):
                self._live.pass_on(live.stream)
                await self._cluster.hand_over(live.stream)

    def _moves(self, live: LiveStream, unable: Counter[str]) -> bool:
        """Whether another node can continue the stream, and somebody can come back to it there. `unable`: how many
        owner readers of each stream cannot."""
        if not live.can_move:
            return False
        present = self._cluster.counts(COUNT, live.stream).get("", 0)
        return not (live.needs_readers and 0 < present <= unable[live.stream])

    def _send_away(self, readers: Collection[Reader]) -> None:
        for reader in readers:
            self._readers.send_away(reader, DRAINING)

    def _has_ended(self, stream: str) -> bool:
        return stream not in self._live and not is_topic(stream)
