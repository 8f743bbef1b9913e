"""Work that is done soon after it was asked for, and once however often it was asked for until it begins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidegate.errors import StoreUnavailable

logger = logging.getLogger("tidegate.stores")


class Soon:
    """Does `work` in a later turn of the loop, one at a time, and again where it was asked for meanwhile."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Asks for the work."""
        self._wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def done(self) -> None:
        """Waits until all work that was asked for is done."""
        while self._task is not None:
            await asyncio.wait((self._task,))

    def stop(self) -> None:
        """Gives up the work. It may be asked for again."""
        self._wanted = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                await self._once()
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _once(self) -> None:
        try:
            await self._work()
        except StoreUnavailable as error:
            # Whoever needs it asks again with the next renewal.
            logger.debug("given up for now: %s", error.message)
        except Exception:
            logger.exception("a node failed in its work on Redis")
