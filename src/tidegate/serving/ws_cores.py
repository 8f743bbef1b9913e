"""The sans-I/O cores of `websockets`, which parse and build frames, lent to the sockets that need one at the moment.

Between two frames of an open socket a core holds nothing that another socket's would not, and takes 1.4 KB.
"""

from __future__ import annotations

import logging

from websockets.protocol import State
from websockets.server import ServerProtocol

MOST_SPARE = 16
"""Cores that are kept for the next sockets. A handshake, a message in parts and a close take one for a while."""


# At lower levels uvicorn and websockets log paths and queries, which may hold tokens.
QUIET = logging.getLogger("tidegate.ws.socket")
QUIET.setLevel(logging.WARNING)


class Cores:
    """Cores in the state that follows a handshake."""

    def __init__(self) -> None:
        self._spare: list[ServerProtocol] = []

    def lend(self, max_message_bytes: int) -> ServerProtocol:
        """A core that fails at messages past `max_message_bytes`.

        It has no extensions: a compressor for each socket would take memory, and its frames could not be shared by a
        broadcast.
        """
        core = self._spare.pop() if self._spare else ServerProtocol(logger=QUIET, state=State.OPEN)
        core.max_message_size = max_message_bytes
        return core

    def give_back(self, core: ServerProtocol) -> None:
        """Takes back a core that `is_at_rest`, between two frames."""
        if len(self._spare) < MOST_SPARE:
            self._spare.append(core)


def is_at_rest(core: ServerProtocol) -> bool:
    """Whether a core that is not within a frame holds nothing of its socket: no part of a message, nothing to send."""
    idle = core.current_size is None and not core.reader.buffer and not core.writes and not core.events
    return idle and core.state is State.OPEN and core.parser_exc is None
