"""All workers of one parent: they start together, stand in for each other, and stop together."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from tidegate.config import Changes, Settings
from tidegate.errors import TidegateError
from tidegate.observe.metrics.series import Series
from tidegate.observe.metrics.totals import still_served, total
from tidegate.workers.assignment import assigned
from tidegate.workers.keeper import Keeper
from tidegate.workers.messages import Prepare
from tidegate.workers.process import WorkerProcess

logger = logging.getLogger("tidegate.workers")

NOTE_SECONDS = 5.0
"""How often the parent notes what workers have measured: some 20 KB each."""


FEWEST_ROUNDS = 3
"""So many notes in a row a worker misses before it passes for one that hangs: a busy one may miss one."""


def patience_of(seconds: float) -> int:
    """How many notes in a row a worker may miss that is to be replaced when it hangs for so long; 0 for no limit."""
    return max(FEWEST_ROUNDS, math.ceil(seconds / NOTE_SECONDS)) if seconds else 0


class Crew:
    """`count` workers, which `launch` starts by number. One that misses `patience` notes in a row hangs, and is
    replaced; 0: hanging is no reason."""

    def __init__(self, count: int, launch: Callable[[int], Awaitable[WorkerProcess]], patience: int = 0) -> None:
        self._patience = patience
        self._measuring: asyncio.Task[None] | None = None
        self._keepers = [Keeper(number, launch, self._assign) for number in range(count)]

    async def start(self) -> None:
        """Returns when all workers take connections. Raises the `TidegateError` of the first that cannot start."""
        starting = [asyncio.create_task(keeper.start()) for keeper in self._keepers]
        try:
            await asyncio.gather(*starting)
        finally:
            # Where one has failed, the others are not left behind half started.
            for task in starting:
                task.cancel()
            await asyncio.wait(starting)
        self._measuring = asyncio.create_task(self._measure())

    async def prepare(self, order: Prepare) -> Sequence[WorkerProcess]:
        """Has all workers get ready for other settings, and returns those that are, for `take`. One that hangs is
        ended, since it would keep a key that is withdrawn.

        Raises what one of them fails with, or where none answers; then all of them forget it.
        """
        asked = self._living
        try:
            answers = await asyncio.gather(*(process.prepare(order) for process in asked))
            ready = [process for process, is_ready in zip(asked, answers, strict=True) if is_ready]
            await self._end_hanging([each for each in asked if each not in ready and each.death is None], ready)
        except BaseException:
            for process in asked:
                process.drop()
            raise
        return ready

    @staticmethod
    async def _end_hanging(hanging: Sequence[WorkerProcess], ready: Sequence[WorkerProcess]) -> None:
        if hanging and not ready:
            # More likely it is these settings that they hang at. Ended, they would lose all that runs.
            raise TidegateError("no worker answers")
        for process in hanging:
            logger.error("a worker, pid %d, hangs, and is ended: the others change over", process.pid)
        await asyncio.gather(*(process.end(hangs=True) for process in hanging))

    async def take(self, ready: Sequence[WorkerProcess], settings: Settings) -> Changes:
        """Has these take over what they are ready for: they are told at once. Returns what has changed."""
        taking = [process.take(settings) for process in ready]
        return next((each for each in await asyncio.gather(*taking) if each is not None), Changes())

    def outdated(self, settings: Settings) -> Sequence[WorkerProcess]:
        """The workers that live and have other settings."""
        return [process for process in self._living if process.settings is not settings]

    @property
    def _living(self) -> Sequence[WorkerProcess]:
        return [keeper.process for keeper in self._keepers if keeper.process is not None and keeper.alive]

    async def scrape(self) -> Sequence[Series]:
        """What all workers have measured, those that have died among them."""
        measured = await asyncio.gather(*(keeper.measure() for keeper in self._keepers))
        past, now = total(each for each, _ in measured), total(each for _, each in measured)
        # One that has only just begun has not said yet what it serves.
        if all(each for _, each in measured):
            past = still_served(past, now)
            for keeper in self._keepers:
                keeper.forget(now)
        return total([past, now])

    def stop(self) -> None:
        """Makes all workers drain; the second time they stop at once."""
        for keeper in self._keepers:
            keeper.stop()

    async def ended(self) -> int:
        """Waits until all have ended after `stop`; returns 0 if each of them has ended in order, else 1."""
        return int(any(await asyncio.gather(*(keeper.ended() for keeper in self._keepers))))

    async def close(self) -> None:
        """Ends all workers at once."""
        if self._measuring is not None:
            self._measuring.cancel()
        await asyncio.gather(*(keeper.close() for keeper in self._keepers))

    async def _measure(self) -> None:
        """Notes what each worker has measured, so that a death takes no more than its last seconds from the counts."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            await self.scrape()
            for keeper in self._keepers if self._patience else ():
                keeper.check(self._patience)

    def _assign(self) -> None:
        """Has the living take the connections of the dead: what the kernel has given to a dead worker must not wait."""
        for keeper, numbers in zip(self._keepers, assigned([each.alive for each in self._keepers]), strict=True):
            keeper.listen(numbers)
