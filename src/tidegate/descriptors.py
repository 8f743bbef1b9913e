"""How many files, and so how many connections, this process may open."""

from __future__ import annotations

import logging
import resource
import sys

FEW_DESCRIPTORS = 20_000
"""Each reader holds a file descriptor; with a limit below this a busy server reaches it before any other limit."""

log = logging.getLogger("tidegate.server")


def raise_descriptor_limit() -> None:
    """Raises the soft limit of open files to the hard one, and logs a warning if even that is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS:
        log.warning("this process may open only %d files: that many connections at the most", hard)


def most_connections() -> int:
    """Nine tenths of the files that this process may open: the store, upstreams and refused connections need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft * 9 // 10
