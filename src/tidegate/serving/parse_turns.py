"""Turns of parsing, shared by all connections that have sent more than can be parsed at once.

Without them a connection that has sent a megabyte of tiny chunks, or two hundred of them, would keep everybody waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

TURN_SECONDS = 0.005
"""How long all connections together parse in one turn of the loop: a tenth of what one request may hold the loop. A
piece that has begun is finished."""

Work = Callable[[], bool]
"""Parses one piece, and returns whether there is another."""


class ParseTurns:
    """A queue of `Work`, called in rotation until the time is up, and again in the loop's next turn."""

    def __init__(self, seconds: float = TURN_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: deque[Work] = deque()
        self._due = False

    def ask(self, work: Work) -> None:
        """Has `work` called from the loop's next turn on, until it returns False."""
        self._waiting.append(work)
        self._see_to_it()

    def _see_to_it(self) -> None:
        if self._waiting and not self._due:
            self._due = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = False
        until = loop.time() + self._seconds
        try:
            while self._waiting:
                work = self._waiting.popleft()
                if work():
                    self._waiting.append(work)
                if loop.time() >= until:
                    break
        finally:
            self._see_to_it()
