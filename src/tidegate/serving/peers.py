"""Connections that serve nobody who is known: idle ones, and those whose request is not here yet, by address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


def _nobody(address: str) -> None:
    return None


class Peers:
    """At most `most` for each account, as `account_of` makes it of the address of the other end; 0 is no limit.

    Of None, as for a proxy, whose connections are those of many, there may be any number.
    """

    def __init__(self, most: int = 0, account_of: Callable[[str], str | None] = _nobody) -> None:
        self._most = most
        self._account_of = account_of
        self._idle: Counter[str] = Counter()

    def account_of(self, address: str) -> str | None:
        """What its connections are counted on; None where they are not."""
        return self._account_of(address) if self._most else None

    def is_full(self, account: str) -> bool:
        """Whether one more is one too many."""
        return self._idle[account] >= self._most

    def is_over(self, account: str) -> bool:
        """Whether there are more than may be: some served somebody until now."""
        return self._idle[account] > self._most

    def come(self, account: str) -> None:
        """One more of it serves nobody."""
        self._idle[account] += 1

    def go(self, account: str) -> None:
        """One fewer."""
        self._idle[account] -= 1
        if not self._idle[account]:
            del self._idle[account]
