"""Pauses of our own process: SIGSTOP, a suspended container, a machine that has no time for us.

When it goes on, timers are due at once. What others sent meanwhile waits in the sockets, and is acted upon only some
turns of the loop later: it must not be taken for a silence.
"""

from __future__ import annotations

LATE_SECONDS = 0.25
"""A timer that fires later than this after its time was kept from it; a loop that is busy is late by milliseconds."""

READ_SECONDS = 0.5
"""Until the verdict, from then on: to read what waits, and to act on it. Below the second that the end of a lease may
take."""


def was_paused(due: float, now: float) -> bool:
    """Whether a timer fires so late that its verdict has to wait. Both are of any one clock, in seconds."""
    return now - due > LATE_SECONDS
