"""Runs `tidegate` in forks of itself: a process that has imported everything begins in a hundredth of the time.

`python forker.py FD`: the descriptor is a socket of the harness, on which each message asks for a process or tells of
one. The forks end with this process, and it ends with the harness, however that ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from shifted_clock import ShiftedClock

PR_SET_PDEATHSIG = 1

IMPORTED = (
    "tidegate.cli",
    "tidegate.server",
    "tidegate.app",
    "tidegate.routes.socket",
    "tidegate.stores.sqlite.store",
    "tidegate.stores.redis.store",
    "tidegate.providers.replay",
    "tidegate.providers.openai.provider",
    "tidegate.providers.python",
    "chaos_target",
)
"""What the servers of a run import before they are ready, or soon after."""

LONGEST = 1 << 16


def main() -> None:
    """Forks until the harness has gone. Only forks return from here, and go on as `tidegate`."""
    clock = ShiftedClock()
    for module in IMPORTED:
        import_module(module)
    gc.freeze()
    harness = socket.socket(fileno=int(sys.argv[1]))
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    for descriptor in (harness.fileno(), woken):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if woken in ready:
            os.read(woken, LONGEST)
            _report_ends(harness)
        if harness.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(harness, LONGEST, 2)
            if not message:
                sys.exit()
            wanted = json.loads(message)
            if (child := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                for descriptor in (harness.detach(), woken, wakes):
                    os.close(descriptor)
                _become(wanted, descriptors, clock)
                return
            for descriptor in descriptors:
                os.close(descriptor)
            _tell(harness, {"number": wanted["number"], "pid": child})


def _report_ends(harness: socket.socket) -> None:
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not child:
            return
        _tell(harness, {"pid": child, "code": os.waitstatus_to_exitcode(status)})


def _tell(harness: socket.socket, message: dict[str, Any]) -> None:
    harness.send(json.dumps(message).encode())


def _become(wanted: dict[str, Any], descriptors: list[int], clock: ShiftedClock) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Those of the interpreter were opened for another kind of file.
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.chdir(wanted["folder"])
    clock.follow(wanted["clock"])
    sys.argv = ["tidegate", *wanted["arguments"]]


if __name__ == "__main__":
    main()
    import_module("tidegate.cli").main()
