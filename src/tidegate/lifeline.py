"""Child processes: how one is tied to its parent, and what one died of."""

from __future__ import annotations

import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Makes the kernel kill this process with its parent, where it can, whatever the process is doing then."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def death_of(code: int) -> str:
    """What a process died of, by its return code as `subprocess` has it."""
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
