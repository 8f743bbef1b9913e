"""Pauses of our own process, by SIGSTOP, a suspended container or an overloaded machine.

When the process resumes, its timers are due at once, while messages that came meanwhile wait in the sockets and are
handled only some turns of the loop later: such a pause must not be taken for a peer's silence.
"""

from __future__ import annotations

LATE_SECONDS = 0.25
"""A timer that fires later than this after its time was delayed by a pause; a busy loop is late by milliseconds."""

READ_SECONDS = 0.5
"""How long a timer waits after a pause, so that waiting messages are read and handled first. Less than the second that
the end of a lease may take."""


def was_paused(due: float, now: float) -> bool:
    """Whether a timer fires so late that it has to wait for messages first. Both times are in seconds, of one clock."""
    return now - due > LATE_SECONDS
