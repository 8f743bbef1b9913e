"""Keeps one worker running: after a death it is started again."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence

from tidegate.core.restarts import Restarts
from tidegate.observe.metrics.series import Series
from tidegate.observe.metrics.totals import lasting, still_served, total
from tidegate.workers.process import WorkerProcess

logger = logging.getLogger("tidegate.workers")


class Keeper:
    """`launch` starts the worker with this number; `changed` is called when it has died, and when it is there again."""

    def __init__(
        self, number: int, launch: Callable[[int], Awaitable[WorkerProcess]], changed: Callable[[], None]
    ) -> None:
        self.number = number
        self.process: WorkerProcess | None = None
        self._past: Sequence[Series] = ()
        self._silent = 0
        self._launch = launch
        self._changed = changed
        self._keeping: asyncio.Task[None] | None = None
        self._draining: WorkerProcess | None = None

    @property
    def alive(self) -> bool:
        """Whether the worker takes connections."""
        return self.process is not None and self.process.death is None

    async def start(self) -> None:
        """Returns when the worker takes connections. Raises `TidegateError` where it cannot start."""
        self.process = await self._launch(self.number)
        self._keeping = asyncio.create_task(self._keep(self.process))

    async def measure(self) -> tuple[Sequence[Series], Sequence[Series]]:
        """What those have measured that had the worker's number before, and what it has measured itself."""
        if (process := self.process) is None:
            return self._past, ()
        if process.death is not None:
            return self._past, lasting(process.measured)
        return self._past, await process.measure()

    def forget(self, now: Sequence[Series]) -> None:
        """Forgets what those before have measured of models and upstreams of which nothing is measured now."""
        self._past = still_served(self._past, now)

    def check(self, patience: int) -> None:
        """Notes whether the worker answers; ends one that has not answered so many times: its loop hangs.

        It is sent SIGABRT, upon which Python can say where it hangs, and then SIGKILL.
        """
        process = self.process
        if process is None or not self.alive or self._draining is not None:
            return
        self._silent = 0 if process.answers else self._silent + 1
        if self._silent >= patience:
            logger.error("worker %d, pid %d, hangs, and is ended", self.number, process.pid)
            process.signal(signal.SIGABRT if self._silent == patience else signal.SIGKILL)

    def listen(self, numbers: Sequence[int]) -> None:
        """Tells the worker, if it lives, which listeners to take connections from."""
        if self.process is not None and self.alive:
            self.process.listen(numbers)

    def stop(self) -> None:
        """Makes the worker drain, and starts it again no more; the second time it stops at once."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._draining is None and self.alive:
            self._draining = self.process
        if self._draining is not None:
            self._draining.stop()

    async def ended(self) -> int:
        """Waits for the end of a worker that was stopped, and returns its exit code, 0 if it was dead already."""
        if (worker := self._draining) is None:
            return 0
        await worker.died()
        self._changed()
        if (code := worker.code or 0) < 0:
            logger.error("worker %d, pid %d, died with %s while it drained", self.number, worker.pid, worker.death)
        return code

    async def close(self) -> None:
        """Ends the worker at once."""
        self.stop()
        if self._keeping is not None:
            await asyncio.wait([self._keeping])
        if self.process is not None:
            await self.process.end()

    async def _keep(self, process: WorkerProcess) -> None:
        restarts = Restarts()
        while True:
            await process.died()
            self._changed()
            logger.error(
                "worker %d, pid %d, died with %s after %.0f s", self.number, process.pid, process.death, process.age
            )
            again = await self._again(restarts, process.age)
            self._past = total([self._past, lasting(process.measured)])
            process = self.process = again
            self._silent = 0
            logger.info("worker %d is there again, with pid %d", self.number, process.pid)
            self._changed()

    async def _again(self, restarts: Restarts, lived: float) -> WorkerProcess:
        while True:
            delay = restarts.delay_after(lived)
            logger.warning("starting worker %d again in %.0f s", self.number, delay)
            await asyncio.sleep(delay)
            try:
                return await self._launch(self.number)
            except Exception as error:
                # Any exception: one that was given up would leave its clients to the others for ever.
                logger.error("worker %d cannot be started again: %s", self.number, error)
                lived = 0.0
