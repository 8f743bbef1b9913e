"""How many generations of one model run at once, and how many may wait."""

from __future__ import annotations

import asyncio
from collections import deque

from tidegate.errors import QueueFull


class Ticket:
    """One generation's place: waiting, running, or given back."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.turn = asyncio.Event()

    @property
    def position(self) -> int | None:
        """The place in the queue, from 1; None when it does not wait."""
        return self._admission.position(self)

    def release(self) -> None:
        """Gives the place back, whether it was waiting or running. Harmless when repeated."""
        self._admission.release(self)


class Admission:
    """First come, first served; 0 for `max_concurrency` is no limit."""

    def __init__(self, model: str, *, max_concurrency: int, max_queue: int) -> None:
        self._model = model
        self._max_concurrency = max_concurrency
        self._max_queue = max_queue
        self._running: set[Ticket] = set()
        self._waiting: deque[Ticket] = deque()

    @property
    def waiting(self) -> int:
        """How many generations wait for their turn."""
        return len(self._waiting)

    def enter(self) -> Ticket:
        """Takes a place; its `turn` comes at once if one is free. Raises `QueueFull`."""
        ticket = Ticket(self)
        if not self._max_concurrency or len(self._running) < self._max_concurrency:
            self._admit(ticket)
        elif len(self._waiting) < self._max_queue:
            self._waiting.append(ticket)
        else:
            raise QueueFull(
                f"model {self._model!r} is busy: {len(self._running)} generations run and {len(self._waiting)} wait"
            )
        return ticket

    def position(self, ticket: Ticket) -> int | None:
        return self._waiting.index(ticket) + 1 if ticket in self._waiting else None

    def release(self, ticket: Ticket) -> None:
        if ticket in self._running:
            self._running.remove(ticket)
            if self._waiting:
                self._admit(self._waiting.popleft())
        elif ticket in self._waiting:
            self._waiting.remove(ticket)

    def _admit(self, ticket: Ticket) -> None:
        self._running.add(ticket)
        ticket.turn.set()
