"""Pauses of our own process, as by SIGSTOP or a suspended container."""

from __future__ import annotations

import time


def pause(seconds: float) -> None:
    """Keeps the thread, and the loop that runs in it, from everything for so long."""
    time.sleep(seconds)
