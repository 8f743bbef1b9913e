"""Ties a child process to its parent."""

from __future__ import annotations

import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def die_with_parent() -> None:
    """Makes the kernel kill this process with its parent, where it can, whatever the process is doing then."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
