"""Ports that no other process of the tests takes, also while nothing listens at them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count

BLOCKS = range(10_000, 22_000, 32)
"""Below those that Linux gives to whoever does not care: a port that a server has just left must not become another's,
or the clients of one test would talk to the server of a test beside it. Those 10,000 above are for the buses of Redis
clusters, and are below them, too."""

_turns = count()


def free_port(*, also: int = 0) -> int:
    """A port that this process has not had for the longest time, and the one `also` above it. Raises `OSError`."""
    first = BLOCKS[os.getpid() % len(BLOCKS)]
    for _ in range(BLOCKS.step):
        port = first + next(_turns) % BLOCKS.step
        if _is_free(port) and _is_free(port + also):
            return port
    raise OSError(f"ports {first} to {first + BLOCKS.step - 1} are taken")


def _is_free(port: int) -> bool:
    with socket.socket() as attempt, suppress(OSError):
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        attempt.bind(("127.0.0.1", port))
        return True
    return False
