"""What happens to a generation when its owner readers leave: its `on_disconnect`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Attendance:
    """Counts the owner readers of one live generation and calls `abandoned` when they have been gone too long.

    `grace` is in seconds: 0 acts when the last one leaves, None never. Nothing happens before the first one
    has come. Who was asked to leave has time to come back, but may not do so: then it is gone like anybody else.
    """

    def __init__(self, grace: float | None, abandoned: Callable[[], None]) -> None:
        self._grace = grace
        self._abandoned = abandoned
        self._present = 0
        self._timer: asyncio.TimerHandle | None = None

    def arrive(self) -> None:
        """An owner reader attaches."""
        self._present += 1
        self._disarm()

    def expect(self) -> None:
        """Its owner readers were here and may come back: another process had them, and is gone."""
        if self._grace is not None and not self._present:
            self._timer = asyncio.get_running_loop().call_later(self._grace, self._abandoned)

    def leave(self, *, at_least: float = 0.0) -> None:
        """An owner reader detaches; `at_least` so many seconds are waited for one, for ever if they are infinite."""
        self._present -= 1
        if self._present or self._grace is None or at_least == inf:
            return
        grace = max(self._grace, at_least)
        if grace == 0:
            self._abandoned()
        else:
            self._timer = asyncio.get_running_loop().call_later(grace, self._abandoned)

    def close(self) -> None:
        """The generation has ended: departures mean nothing any more."""
        self._grace = None
        # Whoever is to be told has this object: the two would keep each other, and the request, for long.
        self._abandoned = _nothing
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nothing() -> None:
    pass
