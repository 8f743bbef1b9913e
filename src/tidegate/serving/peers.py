"""Counts, by address, connections without a known caller: idle ones, and those whose request is still arriving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


def _nobody(address: str) -> None:
    return None


class Peers:
    """Allows `most` such connections to each account, which `account_of` makes of the peer's address; 0: no limit.

    Where the account is None there is no limit: a proxy, for one, has the connections of many clients.
    """

    def __init__(self, most: int = 0, account_of: Callable[[str], str | None] = _nobody) -> None:
        self._most = most
        self._account_of = account_of
        self._idle: Counter[str] = Counter()

    def account_of(self, address: str) -> str | None:
        """The account that connections from this address count towards; None where they are not counted."""
        return self._account_of(address) if self._most else None

    def is_full(self, account: str) -> bool:
        """Whether the account can have no further connection."""
        return self._idle[account] >= self._most

    def is_over(self, account: str) -> bool:
        """Whether there are too many: connections that were being served may have become idle since."""
        return self._idle[account] > self._most

    def come(self, account: str) -> None:
        """One more connection of the account is idle."""
        self._idle[account] += 1

    def go(self, account: str) -> None:
        """One connection fewer of the account is idle."""
        self._idle[account] -= 1
        if not self._idle[account]:
            del self._idle[account]
