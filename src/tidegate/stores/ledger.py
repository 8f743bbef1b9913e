"""What is kept, by whom: bytes by account, and who gives way where it is too much.

What is live has to be kept, what has ended and what was published can be forgotten early; only what is to come can be
refused. One account never gives way to another, but for the one that holds most where all together are too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import nlargest

from tidegate.errors import StorageFull

STREAM_BYTES = 2048
"""What a stream takes besides its log, its metadata, its request, its key and its shares."""

FULL = "there is no room for more"
"""Why something was forgotten early, in the log."""

SHARE_BYTES = 512
"""What a share takes."""

BLOCK_BYTES = 8192
"""A live stream is charged for so much in advance: not each token asks for its room."""

CANDIDATES = 8
"""Accounts that are asked to give way where all together hold too much: those that hold most."""

AGAIN_SECONDS = 60.0
"""When there may be room again: retention is swept once a minute."""

Evict = Callable[[str, int], None]
"""Has an account give up what it can, its oldest first, until so many bytes are free."""


class Ledger:
    """Counts by account. `each` and `total` are in bytes, 0 is no limit; `evict` gives back what it frees at once."""

    def __init__(self, *, each: int, total: int, evict: Evict) -> None:
        self._each = each
        self._total = total
        self._evict = evict
        self._live: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._sum = 0

    @property
    def sum(self) -> int:
        """What all hold together."""
        return self._sum

    def of(self, account: str) -> int:
        """What the account holds."""
        return self._held[account]

    def reserve(self, account: str, size: int, *, live: bool) -> None:
        """Charges so much more, once there is room for it. Raises `StorageFull`; then nothing is charged."""
        if size > 0:
            self._check_live(account, size)
            self._make_room(account, size)
        self.charge(account, size, live=live)

    def charge(self, account: str, size: int, *, live: bool) -> None:
        """Charges what is there already, or gives back what is below 0."""
        self._sum += size
        _add(self._held, account, size)
        if live:
            _add(self._live, account, size)

    def end(self, account: str, size: int) -> None:
        """So much of what was live has ended, and can be forgotten."""
        _add(self._live, account, -size)

    def clear(self) -> None:
        """Nothing is held any more."""
        self._live.clear()
        self._held.clear()
        self._sum = 0

    def _check_live(self, account: str, size: int) -> None:
        """Nothing is forgotten in vain."""
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
    """What one stream is charged to its owner: `base` for itself, and for its log a block more than it weighs."""

    def __init__(self, ledger: Ledger, account: str, base: int, *, log: int | None = None) -> None:
        """With `log` it is there already, and is charged whatever the limits say. Raises `StorageFull`."""
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
        """Lets the log weigh so much, and answers how much it may weigh before this has to be asked again.

        Raises `StorageFull`; then nothing has changed.
        """
        self._resize(self._base + weight + BLOCK_BYTES)
        return weight + BLOCK_BYTES

    def add(self, size: int) -> None:
        """So much more, or less, besides the log. It is little, and never refused: what comes next makes room."""
        self._ledger.charge(self.account, size, live=self._live)
        self.size += size
        self._base += size

    def end(self, base: int, weight: int) -> None:
        """The stream has ended: what it takes from here on, never more than before."""
        self._ledger.charge(self.account, base + weight - self.size, live=True)
        self._base, self.size = base, base + weight
        self._ledger.end(self.account, self.size)
        self._live = False

    def give_back(self) -> None:
        """Nothing of it is kept any more."""
        self._ledger.charge(self.account, -self.size, live=self._live)
        self.size = 0

    def _resize(self, size: int) -> None:
        self._ledger.reserve(self.account, size - self.size, live=self._live)
        self.size = size


def _add(counts: Counter[str], account: str, size: int) -> None:
    counts[account] += size
    if not counts[account]:
        del counts[account]
