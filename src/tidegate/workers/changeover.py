"""How a worker changes over to later settings, in the two steps that its parent has all workers take together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidegate.errors import TidegateError
from tidegate.workers.lent import lent
from tidegate.workers.messages import Message, Prepare, Prepared, Taken, failed

if TYPE_CHECKING:
    from tidegate.app import Prepared as Ready
    from tidegate.app import Tidegate

logger = logging.getLogger("tidegate.workers")


class Changeover:
    """Gets `app` ready for what the parent orders, and takes it over when the parent says so. `tell` tells it."""

    def __init__(self, app: Tidegate, tell: Callable[[Message], None]) -> None:
        self._app = app
        self._tell = tell
        self._preparing: asyncio.Task[Ready] | None = None
        self._dropping: set[asyncio.Task[None]] = set()

    def prepare(self, order: Prepare) -> None:
        """Begins to get ready, and tells the parent when that is done or has failed."""
        self.drop()
        self._preparing = asyncio.create_task(self._app.prepare(lent(order.settings, order.lanes, order.keys)))
        self._preparing.add_done_callback(lambda task: self._told(order.number, task))

    def take(self) -> None:
        """Takes over what is ready. The parent only says so when all workers are."""
        assert self._preparing is not None
        ready, self._preparing = self._preparing.result(), None
        self._tell(Taken(self._app.take(ready)))

    def drop(self) -> None:
        """Forgets what is ready, or is getting ready."""
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.cancel()
            task = asyncio.create_task(_drop(preparing))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    def _told(self, number: int, task: asyncio.Task[Ready]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, TidegateError):
            logger.error("could not get ready for other settings", exc_info=error)
            error = TidegateError("a worker failed to get ready for them; its log has the details")
        self._tell(Prepared(number, None if error is None else failed(error)))


async def _drop(preparing: asyncio.Task[Ready]) -> None:
    await asyncio.wait([preparing])
    if not preparing.cancelled() and preparing.exception() is None:
        await preparing.result().models.drop()
