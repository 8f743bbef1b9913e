"""Counts the bytes that wait in all connections: arriving bodies, queued requests, answers that clients do not read.

A connection reports its bytes only while it is behind, not for each token or small request.
"""

from __future__ import annotations

import asyncio
import sys
from heapq import heapify, heappop, heapreplace
from operator import itemgetter
from typing import Protocol

from tidegate.observe.base import GAVE_WAY
from tidegate.observe.refusals import Refusals

LIMIT = "max_buffered_bytes"

ROOM = 8
"""Past the limit an eighth of it is freed at once: finding who holds most takes time, and must not be repeated for each
byte that follows."""


class Holder(Protocol):
    """A connection. `account` is its caller's, or that of its address while the caller is unknown."""

    @property
    def account(self) -> str: ...

    @property
    def address(self) -> str: ...

    def give_way(self) -> None:
        """Frees the bytes it holds: a request that can still be refused is refused, else the connection is aborted."""
        ...


class Waiting:
    """Bytes by connection, at most `most` in all. Past that, the account that holds most gives way, its largest first.

    So one caller's many connections, however little each holds, do not drive out another's.
    """

    def __init__(self, most: int = sys.maxsize, refusals: Refusals | None = None) -> None:
        self.total = 0
        self._most = most
        self._refusals = refusals
        self._held: dict[Holder, int] = {}
        self._due = False

    def hold(self, holder: Holder, size: int) -> None:
        """Sets how many bytes the connection holds: 0 once it is gone."""
        self.total += size - self._held.pop(holder, 0)
        if size:
            self._held[holder] = size
        if self.total > self._most and not self._due:
            # Not at once: the connection that has to give way may be writing or parsing at this moment.
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
        """Makes the holder give way and returns how many bytes it held: 0 if it has freed them by itself meanwhile."""
        size = self._held.get(holder, 0)
        if size:
            if self._refusals is not None:
                self._refusals.tell(LIMIT, account, holder.address)
                self._refusals.count(GAVE_WAY)
            holder.give_way()
            self.hold(holder, 0)
        return size
