"""What Redis refuses, for the log: a full Redis refuses every append of every stream, many times a second."""

from __future__ import annotations

import logging
from math import inf

SILENCE_SECONDS = 60.0
"""The same is said again after so long: whoever reads the log later sees that it still holds."""

MOST_REASONS = 100
"""So many different refusals are remembered: a bug's may have a stream's id in them."""

FULL = "it is full, and takes nothing more that needs memory: raise its maxmemory, or keep less"

logger = logging.getLogger("tidegate.stores")


class Refusals:
    """Logs each reason at most once in `SILENCE_SECONDS`."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def tell(self, error: Exception, now: float) -> None:
        """`now` is in seconds of any origin."""
        reason = reason_of(error)
        if now - self._said.get(reason, -inf) < SILENCE_SECONDS:
            return
        if len(self._said) >= MOST_REASONS:
            self._said.clear()
        self._said[reason] = now
        logger.error("Redis refused a command: %s", reason)


def reason_of(error: Exception) -> str:
    """What an operator can do something about; a script's error names a line of the script."""
    # Redis 7 has another word in front of this.
    return FULL if "used memory > 'maxmemory'" in str(error) else str(error)
