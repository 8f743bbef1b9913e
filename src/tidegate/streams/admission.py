"""How many generations of one model run at once, how many may wait, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections import Counter

from tidegate.errors import QueueFull
from tidegate.streams.rounds import Rounds


class Ticket:
    """The place of one generation in its model's queue: waiting, running, or released.

    `turn` is set when the generation may run, or when it lost its place in the queue; in the latter case `refusal` is
    the error.
    """

    def __init__(self, admission: Admission, account: str, number: int) -> None:
        self._admission = admission
        self.account = account
        self.number = number
        self.turn = asyncio.Event()
        self.refusal: QueueFull | None = None

    @property
    def position(self) -> int | None:
        """The place in the queue, from 1; None when the generation does not wait."""
        return self._admission.position(self)

    def release(self) -> None:
        """Gives the place back, whether the generation was waiting or running. Harmless when repeated."""
        self._admission.release(self)


class Admission:
    """The queue of one model, in which waiting accounts take turns; a `max_concurrency` of 0 means no limit.

    A full queue takes a ticket of an account that holds fewer tickets than another one does: the account that holds
    the most loses its newest waiting ticket (decision 16).
    """

    def __init__(self, model: str, *, max_concurrency: int, max_queue: int) -> None:
        self._model = model
        self._max_concurrency = max_concurrency
        self._max_queue = max_queue
        self._running: set[Ticket] = set()
        self._waiting: dict[int, Ticket] = {}
        self._rounds = Rounds()
        self._held: Counter[str] = Counter()
        self._issued = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """How many generations wait for their turn."""
        return len(self._waiting)

    def enter(self, account: str) -> Ticket:
        """Takes a place for the account; the ticket's `turn` is set already if one is free. Raises `QueueFull`."""
        ticket = Ticket(self, account, self._issued)
        if self._has_room:
            self._admit(ticket)
        else:
            if len(self._waiting) >= self._max_queue:
                self._make_room(account)
            self._waiting[ticket.number] = ticket
            self._rounds.join(account, ticket.number)
        self._issued += 1
        self._held[account] += 1
        self._empty.clear()
        return ticket

    def resize(self, *, max_concurrency: int, max_queue: int) -> None:
        """Changes the limits. Generations that run or wait keep their places, even if they are too many now."""
        self._max_concurrency, self._max_queue = max_concurrency, max_queue
        self._admit_next()

    async def emptied(self) -> None:
        """Waits until no generation runs or waits."""
        await self._empty.wait()

    def position(self, ticket: Ticket) -> int | None:
        return self._rounds.position(ticket.account, ticket.number) if ticket.number in self._waiting else None

    def release(self, ticket: Ticket) -> None:
        if ticket in self._running:
            self._running.remove(ticket)
            self._let_go(ticket)
            self._admit_next()
        elif ticket.number in self._waiting:
            self._leave(ticket)

    @property
    def _has_room(self) -> bool:
        return not self._max_concurrency or len(self._running) < self._max_concurrency

    def _admit_next(self) -> None:
        while self._waiting and self._has_room:
            self._admit(self._waiting.pop(self._rounds.next()))

    def _admit(self, ticket: Ticket) -> None:
        self._running.add(ticket)
        ticket.turn.set()

    def _make_room(self, account: str) -> None:
        greediest = max(self._rounds.accounts, key=self._held.__getitem__, default=account)
        # If the two accounts would only swap counts, the earlier ticket stays.
        if self._held[account] + 1 >= self._held[greediest]:
            raise self._full()
        ticket = self._waiting[self._rounds.newest(greediest)]
        ticket.refusal = self._full()
        ticket.turn.set()
        self._leave(ticket)

    def _leave(self, ticket: Ticket) -> None:
        del self._waiting[ticket.number]
        self._rounds.leave(ticket.account, ticket.number)
        self._let_go(ticket)

    def _let_go(self, ticket: Ticket) -> None:
        self._held[ticket.account] -= 1
        if not self._held[ticket.account]:
            del self._held[ticket.account]
        if not self._held:
            self._empty.set()

    def _full(self) -> QueueFull:
        running, waiting = len(self._running), len(self._waiting)
        return QueueFull(f"model {self._model!r} is busy: {running} generations run and {waiting} wait")
