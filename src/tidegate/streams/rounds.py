"""A round-robin queue: in each round every waiting account has one turn. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple


class Turn(NamedTuple):
    """A place in the order of service. `serial` orders the turns of one round: first come, first served."""

    round: int
    serial: int
    account: str


class _Line:
    """The waiting tickets of one account in the order they came, and as many turns: the nth ticket has the nth turn."""

    __slots__ = ("tickets", "turns")

    def __init__(self) -> None:
        self.tickets: list[int] = []
        self.turns: list[Turn] = []


class Rounds:
    """The queue. Tickets are numbers, each larger than those before it.

    An account's first ticket joins the round after the one that is being served, its next ones the rounds after that.
    So a new account waits for at most one turn of each other account, however many tickets those have queued, and no
    ticket waits for ever. All turns are in one sorted list, so that a position is found by bisection.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._order: list[Turn] = []
        self._round = 0

    def __len__(self) -> int:
        return len(self._order)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that have waiting tickets."""
        return tuple(self._lines)

    def waiting(self, account: str) -> int:
        """How many waiting tickets the account has."""
        return len(self._lines[account].tickets) if account in self._lines else 0

    def join(self, account: str, ticket: int) -> None:
        line = self._lines.setdefault(account, _Line())
        before = line.turns[-1].round if line.turns else self._round
        turn = Turn(before + 1, ticket, account)
        line.tickets.append(ticket)
        line.turns.append(turn)
        insort(self._order, turn)

    def position(self, account: str, ticket: int) -> int:
        """The ticket's current place in the queue, from 1."""
        line = self._lines[account]
        return bisect_left(self._order, line.turns[_index(line, ticket)]) + 1

    def leave(self, account: str, ticket: int) -> None:
        """Removes a ticket. The account's later tickets move up; no other account's turn comes later for it."""
        line = self._lines[account]
        del line.tickets[_index(line, ticket)]
        del self._order[bisect_left(self._order, line.turns.pop())]
        if not line.tickets:
            del self._lines[account]

    def next(self) -> int:
        """Removes and returns the ticket whose turn it is."""
        turn = self._order.pop(0)
        self._round = turn.round
        line = self._lines[turn.account]
        del line.turns[0]
        ticket = line.tickets.pop(0)
        if not line.tickets:
            del self._lines[turn.account]
        return ticket

    def newest(self, account: str) -> int:
        """The account's newest ticket."""
        return self._lines[account].tickets[-1]


def _index(line: _Line, ticket: int) -> int:
    return bisect_left(line.tickets, ticket)
