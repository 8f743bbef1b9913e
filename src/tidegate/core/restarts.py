"""When a process that has died is started again: at first at once, then after growing delays."""

from __future__ import annotations

DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds, by deaths in a row. The last delay repeats: memory or a file may be fixed meanwhile, but not by retrying."""

HEALTHY_SECONDS = 60.0
"""A process that lived so long has worked; its death begins a new row."""


class Restarts:
    """The delays of one process, in seconds."""

    def __init__(self) -> None:
        self._deaths = 0

    def delay_after(self, lived: float) -> float:
        """How long to wait after a death. `lived` is how long the process had lived, 0 if it could not start."""
        self._deaths = 1 if lived > HEALTHY_SECONDS else self._deaths + 1
        return DELAYS[min(self._deaths, len(DELAYS)) - 1]
