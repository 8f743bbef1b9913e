"""Packs the logs of streams that have ended, and frees what is long, a step in each turn of the loop: many streams that
end at once hold up nobody."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from tidegate.core.steps import Steps

logger = logging.getLogger("tidegate.stores")


class Packing:
    """The work on one log after the other. It belongs on the loop's thread.

    A store may outlive its loop, as one does that several calls of `asyncio.run` share: the work that a loop has left
    goes on with the next piece of work that is added.
    """

    def __init__(self) -> None:
        self._waiting: deque[Steps[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Handle | None = None

    def add(self, steps: Steps[None]) -> None:
        """Adds a piece of work. It begins in a later turn of the loop, after all that was added before."""
        self._waiting.append(steps)
        self._begin()

    def add_first(self, steps: Steps[None]) -> None:
        """Adds a piece of work that goes before all other: it frees memory that counts on nobody any more."""
        self._waiting.appendleft(steps)
        self._begin()

    def clear(self) -> None:
        """Leaves what is not done yet undone."""
        self._waiting.clear()
        self._stop()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._loop is not loop:
            self._stop()
            self._loop, self._turn = loop, loop.call_soon(self._step)

    def _stop(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
        self._loop = self._turn = None

    def _step(self) -> None:
        self._loop = self._turn = None
        steps = self._waiting.popleft()
        try:
            next(steps)
        except StopIteration:
            pass
        except Exception:
            # The log stays as it is, and can be read.
            logger.exception("the log of a stream that has ended could not be packed")
        else:
            self._waiting.appendleft(steps)
        if self._waiting:
            self._begin()
