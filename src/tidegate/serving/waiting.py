"""What waits in all connections together: bodies that arrive, requests that queue, answers that nobody reads.

A connection says what it holds only where that is much: while it is behind, not for each token or each small request.
"""

from __future__ import annotations

import asyncio
import sys
from heapq import heapify, heappop, heapreplace
from operator import itemgetter
from typing import Protocol

from tidegate.observe.refusals import Refusals

LIMIT = "max_buffered_bytes"

ROOM = 8
"""Past the limit so much of it is made free, an eighth: looking for who holds most takes time, and must not be done for
each byte that follows."""


class Holder(Protocol):
    """A connection. `account` is its caller's, as far as that is known."""

    @property
    def account(self) -> str: ...

    @property
    def address(self) -> str: ...

    def give_way(self) -> None:
        """Lets go of what it holds: what can be refused is refused, the rest is cut off."""
        ...


class Waiting:
    """Bytes by connection, at most `most` in all. Past it those of whoever holds most go, the largest and newest first.

    So many connections of one caller, however small what each holds, do not drive out another's.
    """

    def __init__(self, most: int = sys.maxsize, refusals: Refusals | None = None) -> None:
        self.total = 0
        self._most = most
        self._refusals = refusals
        self._held: dict[Holder, int] = {}
        self._due = False

    def hold(self, holder: Holder, size: int) -> None:
        """From now on it holds so much; nothing, where it is gone."""
        self.total += size - self._held.pop(holder, 0)
        if size:
            self._held[holder] = size
        if self.total > self._most and not self._due:
            # Not at once: what is written, or parsed, at the moment may be that of the one that has to go.
            self._due = True
            asyncio.get_running_loop().call_soon(self._make_room)

    def _make_room(self) -> None:
        self._due = False
        if self.total <= self._most:
            return
        # The largest last, of equals the newest.
        lines: dict[str, list[Holder]] = {}
        for holder, _ in sorted(self._held.items(), key=itemgetter(1)):
            lines.setdefault(holder.account, []).append(holder)
        most_first = [(-sum(map(self._held.__getitem__, line)), account) for account, line in lines.items()]
        heapify(most_first)
        while most_first and self.total > self._most - self._most // ROOM:
            less, account = most_first[0]
            size = self._let_go(account, lines[account].pop())
            if lines[account]:
                heapreplace(most_first, (less + size, account))
            else:
                heappop(most_first)

    def _let_go(self, account: str, holder: Holder) -> int:
        """Has it give way, and returns what it held; it may have let go by itself meanwhile."""
        size = self._held.get(holder, 0)
        if size:
            if self._refusals is not None:
                self._refusals.tell(LIMIT, account, holder.address)
            holder.give_way()
            self.hold(holder, 0)
        return size
