"""The ledger: how many bytes a store keeps for each account, and what is forgotten where it is too much.

Live streams have to be kept; ended streams and published events can be forgotten early; only new data can be refused.
An account never loses data for another one, except that the accounts that hold most lose some when all together hold
too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import nlargest

from tidegate.errors import StorageFull

STREAM_BYTES = 2048
"""Bytes of a stream besides its log, its metadata, its request, its idempotency key and its shares."""

FULL = "there is no room for more"
"""The reason, in the server's log, why something was forgotten early."""

SHARE_BYTES = 512
"""Bytes of a share."""

BLOCK_BYTES = 8192
"""Bytes that a live stream is charged in advance, so that not every token has to be charged by itself."""

CANDIDATES = 8
"""How many accounts, those that hold most, have to give up data when all together hold too much."""

AGAIN_SECONDS = 60.0
"""The `retry_after` of `StorageFull`: retention is swept once a minute."""

Evict = Callable[[str, int], None]
"""Forgets what it can of an account, the oldest first, until so many bytes are free."""


class Ledger:
    """Counts bytes by account. `each` and `total` are limits in bytes (0: none); `evict` gives the bytes it frees back
    before it returns."""

    def __init__(self, *, each: int, total: int, evict: Evict) -> None:
        self._each = each
        self._total = total
        self._evict = evict
        self._live: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._sum = 0

    @property
    def sum(self) -> int:
        """How many bytes all accounts hold together."""
        return self._sum

    def of(self, account: str) -> int:
        """How many bytes the account holds."""
        return self._held[account]

    def reserve(self, account: str, size: int, *, live: bool) -> None:
        """Makes room and charges `size` bytes more. Raises `StorageFull`; then nothing is charged."""
        if size > 0:
            self._check_live(account, size)
            self._make_room(account, size)
        self.charge(account, size, live=live)

    def charge(self, account: str, size: int, *, live: bool) -> None:
        """Charges `size` bytes whatever the limits; a negative size is given back."""
        self._sum += size
        _add(self._held, account, size)
        if live:
            _add(self._live, account, size)

    def end(self, account: str, size: int) -> None:
        """Notes that `size` live bytes have ended, and can be forgotten."""
        _add(self._live, account, -size)

    def clear(self) -> None:
        """Sets all counts to 0."""
        self._live.clear()
        self._held.clear()
        self._sum = 0

    def _check_live(self, account: str, size: int) -> None:
        """Raises `StorageFull` where forgetting all ended streams would not make room: none is forgotten in vain."""
        if 0 < self._each < self._live[account] + size:
            raise self._full()

    def _make_room(self, account: str, size: int) -> None:
        if 0 < self._each < self._held[account] + size:
            self._evict(account, self._held[account] + size - self._each)
            if self._each < self._held[account] + size:
                raise self._full()
        if 0 < self._total < self._sum + size:
            self._make_room_for_all(size)

    def _make_room_for_all(self, size: int) -> None:
        for account, _ in nlargest(CANDIDATES, self._held.items(), key=lambda item: item[1]):
            self._evict(account, self._sum + size - self._total)
            if self._sum + size <= self._total:
                return
        raise StorageFull("the store holds as much as it may, all of it live", retry_after=AGAIN_SECONDS)

    def _full(self) -> StorageFull:
        return StorageFull(
            f"{self._each} bytes of yours are kept, which is the limit: end, or delete, some of what is live",
            retry_after=AGAIN_SECONDS,
        )


class Charge:
    """What a stream's owner is charged for it: `base` bytes, and for the log a block more than its size."""

    def __init__(self, ledger: Ledger, account: str, base: int, *, log: int | None = None) -> None:
        """A `log` of so many bytes is there already, and is charged whatever the limits. Raises `StorageFull`."""
        self.account = account
        self.size = 0
        self._ledger = ledger
        self._base = base
        self._live = True
        if log is None:
            self._resize(base + BLOCK_BYTES)
        else:
            self.size = base + log + BLOCK_BYTES
            ledger.charge(account, self.size, live=True)

    def cover(self, weight: int) -> int:
        """Charges for a log of `weight` bytes, and returns up to which weight this need not be called again.

        Raises `StorageFull`; then nothing has changed.
        """
        self._resize(self._base + weight + BLOCK_BYTES)
        return weight + BLOCK_BYTES

    def add(self, size: int) -> None:
        """Adds `size` bytes (or takes them away) besides the log. They are few and never refused: the next charge makes
        room."""
        self._ledger.charge(self.account, size, live=self._live)
        self.size += size
        self._base += size

    def end(self, base: int, weight: int) -> None:
        """Notes that the stream has ended and takes `base` + `weight` bytes from now on, never more than before.

        Called again once it takes still less.
        """
        self._ledger.charge(self.account, base + weight - self.size, live=self._live)
        self._base, self.size = base, base + weight
        if self._live:
            self._ledger.end(self.account, self.size)
            self._live = False

    def give_back(self) -> None:
        """Gives the whole charge back, since the stream is no longer kept."""
        self._ledger.charge(self.account, -self.size, live=self._live)
        self.size = 0

    def _resize(self, size: int) -> None:
        self._ledger.reserve(self.account, size - self.size, live=self._live)
        self.size = size


def _add(counts: Counter[str], account: str, size: int) -> None:
    counts[account] += size
    if not counts[account]:
        del counts[account]
