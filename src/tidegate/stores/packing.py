"""Packs the logs of streams that have ended, a step in each turn of the loop: many that end at once hold up nobody."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from tidegate.core.steps import Steps

logger = logging.getLogger("tidegate.stores")


class Packing:
    """The work on one log after the other. It belongs on the loop's thread."""

    def __init__(self) -> None:
        self._waiting: deque[Steps[None]] = deque()
        self._turn: asyncio.Handle | None = None

    def add(self, steps: Steps[None]) -> None:
        """Does this work, too, from the next turn on."""
        self._waiting.append(steps)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._step)

    def clear(self) -> None:
        """Leaves what is not done yet undone."""
        self._waiting.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _step(self) -> None:
        try:
            next(self._waiting[0])
        except StopIteration:
            self._waiting.popleft()
        except Exception:
            # The log stays as it is, and can be read.
            logger.exception("the log of a stream that has ended could not be packed")
            self._waiting.popleft()
        self._turn = asyncio.get_running_loop().call_soon(self._step) if self._waiting else None
