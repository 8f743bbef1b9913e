"""The files of this process: the standard three, and how many, and so how many connections, it may open."""

from __future__ import annotations

import logging
import os
import resource
import sys

from tidegate.errors import TidegateError

FEW_DESCRIPTORS = 20_000
"""Each reader holds a file descriptor; with a limit below this a busy server reaches it before any other limit."""

FEWEST_DESCRIPTORS = 64
"""What a server needs to start, and to answer a few: modules, loop, store and listeners take some 40."""

DESCRIPTORS_OF_A_WORKER = 8
"""What each worker takes from all of them: the listeners of a name's addresses, and its parent's pipes to it."""

log = logging.getLogger("tidegate.server")


def open_standard_streams() -> None:
    """Opens those of stdin, stdout and stderr that were closed when the process was started, to nowhere.

    A socket would get their number otherwise, and what is printed would go to a client; libuv aborts over it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, and so this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def raise_descriptor_limit(workers: int = 1) -> None:
    """Raises the soft limit of open files to the hard one, and logs a warning if even that is low.

    Raises `TidegateError` if it is too low for a server with so many workers.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = FEWEST_DESCRIPTORS + DESCRIPTORS_OF_A_WORKER * (workers - 1)
    if hard == resource.RLIM_INFINITY:
        return
    if hard < needed:
        raise TidegateError(f"this process may open only {hard} files, and needs {needed}: raise its limit (ulimit -n)")
    if hard < FEW_DESCRIPTORS:
        log.warning("this process may open only %d files: that many connections at the most", hard)


def most_connections() -> int:
    """Nine tenths of the files that this process may open: the store, upstreams and refused connections need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft * 9 // 10
