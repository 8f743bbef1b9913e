"""One timer for many heartbeats: an event loop's own timer takes 590 bytes for each connection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Protocol

GRAIN_SECONDS = 0.05
"""Calls come late by up to so much: nothing beside the seconds between heartbeats, and few wake-ups of the loop."""


class Beating(Protocol):
    """Something with a heart, e.g. the protocol of a WebSocket."""

    def beat(self) -> None: ...


class Beats:
    """Calls hearts when they are due; those of the same grain together. One event loop at a time uses it."""

    def __init__(self) -> None:
        self._due: dict[int, set[Beating]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    def at(self, due: float, each: Beating) -> int:
        """Calls `each.beat()` once the loop's time is `due`. Returns the grain, for `cancel`."""
        grain = math.ceil(due / GRAIN_SECONDS)
        self._due.setdefault(grain, set()).add(each)
        if self._timer is None or grain < self._next:
            self._wait_for(grain)
        return grain

    def cancel(self, grain: int, each: Beating) -> None:
        """Takes that back. It is called all the same if the calls of its grain are under way."""
        hearts = self._due.get(grain)
        if hearts is not None:
            hearts.discard(each)
            if not hearts:
                del self._due[grain]

    def _wait_for(self, grain: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = grain
        self._timer = asyncio.get_running_loop().call_at(grain * GRAIN_SECONDS, self._beat)

    def _beat(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() / GRAIN_SECONDS
        due = [grain for grain in self._due if grain <= now or grain == self._next]
        _beat_all(each for grain in sorted(due) for each in self._due.pop(grain, ()))
        if self._due:
            self._wait_for(min(self._due))


def _beat_all(hearts: Iterable[Beating]) -> None:
    loop = asyncio.get_running_loop()
    for each in hearts:
        try:
            each.beat()
        except Exception as error:
            loop.call_exception_handler({"message": "a heartbeat failed", "exception": error})
