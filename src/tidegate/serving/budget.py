"""What all connections of a process share: turns, memory, descriptors, a timer."""

from __future__ import annotations

import sys
from functools import partial
from typing import Literal

import msgspec

from tidegate.errors import Overloaded, TidegateError, TooManyConnections
from tidegate.observe.base import TURNED_AWAY
from tidegate.observe.refusals import Refusals
from tidegate.serving.beats import Beats
from tidegate.serving.parse_turns import ParseTurns
from tidegate.serving.peers import Peers
from tidegate.serving.waiting import Waiting

MOST_TURNED_AWAY = 64
"""Connections beyond the limit that are answered before they are closed. Further ones are cut off unanswered: clients
that are turned away must not take the descriptors that are left."""

AGAIN_SECONDS = 5.0


class Budget(msgspec.Struct, kw_only=True):
    """`connections` is the most there may be. Without arguments only the parsing in one turn of the loop is limited.

    `drops` are the turns of refused clients that still send: one read of one of them in each turn of the loop.
    """

    connections: int = sys.maxsize
    peers: Peers = msgspec.field(default_factory=Peers)
    waiting: Waiting = msgspec.field(default_factory=Waiting)
    turns: ParseTurns = msgspec.field(default_factory=ParseTurns)
    drops: ParseTurns = msgspec.field(default_factory=partial(ParseTurns, 0.0))
    beats: Beats = msgspec.field(default_factory=Beats)
    refusals: Refusals | None = None

    def refusal(self, there_are: int, account: str | None, address: str) -> TidegateError | None:
        """The error that answers a new connection, the last of `there_are`; None where it is served."""
        if there_are > self.connections:
            self._tell("connections", account, address)
            if self.refusals is not None:
                self.refusals.count(TURNED_AWAY)
            return Overloaded("This server has as many connections as it can have: see retry-after.")
        if account is not None and self.peers.is_full(account):
            self._tell("connections_per_principal", account, address)
            return TooManyConnections(
                "Your address has as many connections that wait as it may have.", retry_after=AGAIN_SECONDS
            )
        return None

    def is_beyond(self, there_are: int) -> bool:
        """Whether there are so many connections that a new one is cut off without an answer."""
        return there_are > self.connections + MOST_TURNED_AWAY

    def refuses(self, error: TidegateError) -> Literal[True]:
        """Notes that a call which the application has not seen is refused with this error."""
        if self.refusals is not None:
            self.refusals.count(error.code)
        return True

    def _tell(self, limit: str, account: str | None, address: str) -> None:
        if self.refusals is not None:
            self.refusals.tell(limit, account or f"address:{address}", address)
