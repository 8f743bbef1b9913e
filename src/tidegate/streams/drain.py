"""The stop of a node: live streams finish, are handed over or are ended, and readers are asked to reconnect."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from math import ceil
from typing import Any

from tidegate.core.notices import DRAINING
from tidegate.core.topic import is_topic
from tidegate.errors import Interrupted
from tidegate.stores.cluster import Cluster
from tidegate.streams.live import LiveStream, LiveStreams
from tidegate.streams.membership import Membership
from tidegate.streams.on_disconnect import COUNT
from tidegate.streams.reader import Reader
from tidegate.streams.readers import Readers
from tidegate.streams.timing import Timing

ADOPTED_SECONDS = 0.02
"""The time between two looks at whether orphans are taken over yet, while nothing else is left to finish."""

RETIRED_SECONDS = 1.0
"""How long nodes that stop together wait for each other to say so: one that has just died never says it."""

HANDED_AT_ONCE = 8
"""How many streams are handed over together: as many as another node takes over at the same time. The rest are filled
here meanwhile, so that none stands still until the others have been taken over."""

TAKEN_SECONDS = 1.0
"""How long the next ones wait for that. Where none of them has been taken over by then, or no node says so, as those of
earlier versions never do, they are twice as many, since the time for draining is limited."""

HANDING_SHARE = 1 / 3
"""So much of the time for draining may pass until all are handed over: another third is for the readers."""

ASKED_PER_SECOND = 100
"""How many readers are asked in a second to go on at another node, where a drain has the time for that: each costs a
millisecond and more there, and is served here until then."""

ASKING_SHARE = 1 / 3
"""So much of the time for draining is the most that may pass from the hand-over until the last of many readers is
asked."""

ASKING_SECONDS = 0.02
"""The time between two groups of readers that are asked."""

logger = logging.getLogger("tidegate.streams")


class Drain:
    """Empties a node of its `live` streams, the `tasks` of its generations, and its readers."""

    def __init__(
        self,
        cluster: Cluster,
        membership: Membership,
        readers: Readers,
        live: LiveStreams,
        tasks: Collection[asyncio.Task[None]],
        *,
        timing: Timing,
    ) -> None:
        self._cluster = cluster
        self._membership = membership
        self._readers = readers
        self._live = live
        self._tasks = tasks
        self._timing = timing
        self._offered: set[str] = set()
        self._taken = asyncio.Event()

    async def run(self, seconds: float, siblings: int = 0) -> None:
        """Gives the live streams `seconds` to finish, ends the rest, and sends the readers away.

        So many `siblings` among the other nodes stop at the same time, and are left nothing.
        """
        self._cluster.retire()
        await self._retired(siblings)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self._cluster.successors and seconds:
                    self._membership.adopt_no_more()
                    await self._hand_over_by_and_by(seconds * HANDING_SHARE)
                    await self._move_readers(seconds * ASKING_SHARE)
                await self._finished(seconds)
        await self.interrupt()
        readers = self._readers
        # Readers of ended streams leave by themselves once they have the end; all others have to be sent away.
        await readers.parted([reader for reader in readers.attached if self._has_ended(reader.stream)])
        self._send_away(readers.attached)
        await readers.parted(readers.attached)

    async def _retired(self, siblings: int) -> None:
        """Waits until so many of the other nodes have retired, or have left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETIRED_SECONDS):
                # Nobody is told when the number of successors has changed.
                while self._cluster.others - self._cluster.successors < min(siblings, self._cluster.others):  # noqa: ASYNC110
                    await asyncio.sleep(ADOPTED_SECONDS)

    async def _move_readers(self, seconds: float) -> None:
        """Asks the readers, whom another node can serve as well, to go there: a group after the other, for `seconds` at
        the most. What comes meanwhile they still get here."""
        readers = self._readers
        readers.moving_on = True
        waiting = [reader for reader in readers.attached if readers.can_return(reader)]
        size = ceil(max(ASKED_PER_SECOND, len(waiting) / seconds) * ASKING_SECONDS)
        while waiting:
            self._send_away(waiting[:size])
            waiting = [reader for reader in waiting[size:] if not reader.left]
            if waiting:
                await asyncio.sleep(ASKING_SECONDS)

    async def _finished(self, seconds: float) -> None:
        if ends := self._ends():
            live = sum(not live.outlives_process for live in self._live)
            logger.info("draining: live streams: %d, which may go on for %g s", live, seconds)
            await asyncio.wait(ends)
        # Others that stop at the same time may have handed streams over to this node.
        while self._cluster.others and not self._cluster.successors:
            if ends := self._ends():
                await asyncio.wait(ends)
            elif self._membership.is_adopting:
                await asyncio.sleep(ADOPTED_SECONDS)
            else:
                return

    def _ends(self) -> set[asyncio.Future[Any]]:
        return {*self._tasks, *(live.ended for live in self._live if not live.outlives_process)}

    async def interrupt(self) -> None:
        """Ends the streams that a restarted process could not continue; producers of the others may come back."""
        self._cluster.retire()
        self._membership.adopt_no_more()
        if self._cluster.successors:
            await self._hand_over(self._movable())
        unable = self._readers.unable_to_return()
        for live in self._live:
            if not (live.outlives_process or (self._cluster.successors and self._moves(live, unable))):
                live.fail(Interrupted("the server stopped before the answer was complete"))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timing.parting)

    def moved(self, stream: str) -> None:
        """Notes that another node fills the stream now."""
        self._offered.discard(stream)
        if not self._offered:
            self._taken.set()

    async def _hand_over_by_and_by(self, seconds: float) -> None:
        """Hands over what can move, a few streams at a time, and the next ones once another node fills those; after so
        many `seconds` all that are left.

        A client stream's producer takes it along: until it comes to another node, which its next connection does, it
        asks here, and this node would only have to take the stream back.
        """
        loop = asyncio.get_running_loop()
        size, over = HANDED_AT_ONCE, loop.time() + seconds
        while some := [live for live in self._movable() if not live.outlives_process][:size]:
            self._offered = {live.stream for live in some}
            self._taken.clear()
            await self._hand_over(some)
            try:
                async with asyncio.timeout(TAKEN_SECONDS):
                    await self._taken.wait()
            except TimeoutError:
                size = 2 * size if len(self._offered) == len(some) else size
            if loop.time() >= over:
                size = max(size, len(self._live))

    async def _hand_over(self, some: Sequence[LiveStream]) -> None:
        """Hands streams to other nodes, whatever the store."""
        for live in some:
            if self._live.get(live.stream) is live:
                self._live.pass_on(live.stream)
                await self._cluster.hand_over(live.stream)

    def _movable(self) -> Sequence[LiveStream]:
        unable = self._readers.unable_to_return()
        return [live for live in self._live if self._moves(live, unable)]

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
