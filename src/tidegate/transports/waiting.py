"""What waits in all connections together: bodies that arrive, requests that queue, answers that nobody reads.

A connection says what it holds only where that is much: while it is behind, not for each token or each small request.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
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
        by_account: Counter[str] = Counter()
        for holder, size in self._held.items():
            by_account[holder.account] += size
        while self._held and self.total > self._most - self._most // ROOM:
            account = max(by_account, key=by_account.__getitem__)
            by_account[account] -= self._let_go(account)

    def _let_go(self, account: str) -> int:
        """Has the largest of an account's give way, of equals the newest; returns what that held."""
        newest_first = [each for each in reversed(self._held) if each.account == account]
        largest = max(newest_first, key=self._held.__getitem__)
        size = self._held[largest]
        if self._refusals is not None:
            self._refusals.tell(LIMIT, account, largest.address)
        largest.give_way()
        self.hold(largest, 0)
        return size
