"""Since when Redis is away, and what the log says of that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tidegate.stores.redis.link.lane import Lane

SAID_AFTER_SECONDS = 0.5
"""How long Redis is away before the log says so: a connection that was closed since nobody used it is back sooner."""

SAID_AGAIN_SECONDS = 5.0
"""How soon the log says another reason, e.g. that the login is refused now: a connection that breaks has several."""

logger = logging.getLogger("tidegate.stores")


class Health:
    """Since when Redis cannot be used, by the loop's time; `None` while it can. One lane is enough for that."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.reason = ""
        self._down: dict[Lane, str] = {}
        self._backs: list[Callable[[], None]] = []
        self._said = ""
        self._said_at = 0.0

    def on_back(self, back: Callable[[], None]) -> None:
        """Calls `back` each time that Redis can be used again; it may have forgotten something."""
        self._backs.append(back)

    def up(self, lane: Lane) -> None:
        if self._down.pop(lane, None) is not None and not self._down:
            self._recovered()
            for back in self._backs:
                back()

    def down(self, lane: Lane, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if not self._down:
            self.since = now
        self._down[lane] = self.reason = reason
        is_new = reason != self._said and now - self._said_at >= SAID_AGAIN_SECONDS
        if self.since is not None and now - self.since >= SAID_AFTER_SECONDS and (not self._said or is_new):
            self._said, self._said_at = reason, now
            logger.warning("Redis cannot be used: %s", reason)

    def forget(self, lane: Lane) -> None:
        """The lane is used no longer."""
        if self._down.pop(lane, None) is not None and not self._down:
            self._recovered()

    def _recovered(self) -> None:
        if self._said and self.since is not None:
            away = asyncio.get_running_loop().time() - self.since
            logger.warning("Redis is back, after %.1f s", away)
        self.since, self._said = None, ""
