"""Who is subscribed to which topic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from tidegate.core.notices import Presence

GATHER_SECONDS = 0.1
"""Comings and goings are told together: after a restart all of a room comes back at once, and each would be told of
each."""


class Roll:
    """The principals of one topic, and how many connections each has.

    `changed` is called with what is to be told, which is nothing where somebody came and went.
    """

    def __init__(self, changed: Callable[[Presence], None]) -> None:
        self._changed = changed
        self._present: Counter[str] = Counter()
        self._told: frozenset[str] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._present)

    def present(self) -> Sequence[tuple[str, int]]:
        """Each principal with its connections, by name."""
        return sorted(self._present.items())

    def arrive(self, principal: str) -> None:
        """One more connection of a principal."""
        self._present[principal] += 1
        if self._present[principal] == 1:
            self._gather()

    def leave(self, principal: str) -> None:
        """One less."""
        self._present[principal] -= 1
        if not self._present[principal]:
            del self._present[principal]
            self._gather()

    def close(self) -> None:
        """Nobody is to be told any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _gather(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        present = frozenset(self._present)
        joined, left = present - self._told, self._told - present
        self._told = present
        self._changed(Presence(tuple(sorted(joined)), tuple(sorted(left))))


class Attender:
    """One connection's part in a roll, as `Stay` has it."""

    def __init__(self, roll: Roll, principal: str) -> None:
        self._roll = roll
        self._principal = principal

    def arrive(self) -> None:
        self._roll.arrive(self._principal)

    def leave(self, *, at_least: float = 0.0) -> None:
        """Whether it comes back or not, it is gone."""
        self._roll.leave(self._principal)
