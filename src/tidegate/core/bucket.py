"""Token buckets: how much a caller may take at once, and how fast its bucket is refilled."""

from __future__ import annotations

from collections.abc import Callable

ROUNDING = 1e-6
"""Tolerated rounding error: a caller that has waited for as long as it was told must be let in."""

MOST_ACCOUNTS = 65536
"""How many buckets are kept, 20 MB in all. The account seen longest ago gets a new, full bucket; so a caller with that
many names has no limit."""


class TokenBucket:
    """Holds at most `capacity` tokens, gains `rate` a second, and begins full. `now` is in seconds and never goes back.

    Settling may leave a negative level, but none below minus the capacity: then nothing can be taken until the bucket
    is refilled to 0, which takes no longer than filling an empty one. `taken` tells those who share the bucket.
    """

    __slots__ = ("_at", "_level", "_taken", "capacity", "rate")

    def __init__(self, rate: float, capacity: float, now: float, taken: Taken | None = None) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = now
        self._taken = taken

    def level(self, now: float) -> float:
        """How many tokens can be taken; negative after more was settled than there was."""
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> bool:
        """Takes the amount, or nothing where the bucket does not hold as much; whether it was taken."""
        if self.level(now) < amount - ROUNDING:
            return False
        self._subtract(amount, now)
        return True

    def borrow(self, amount: float, now: float) -> bool:
        """Takes the amount even if the level becomes negative, or nothing where it would fall below minus the capacity;
        whether it was taken."""
        if self.level(now) - amount < -self.capacity - ROUNDING:
            return False
        self._subtract(amount, now)
        return True

    def settle(self, amount: float, now: float) -> None:
        """Takes an amount that was used, whatever the level; a negative amount is given back."""
        self.level(now)
        self._subtract(amount, now)

    def _subtract(self, amount: float, now: float) -> None:
        self._level = max(-self.capacity, min(self.capacity, self._level - amount))
        if self._taken is not None:
            self._taken(self, amount, now)

    def correct(self, level: float, now: float) -> None:
        """Replaces the level: others have taken from the bucket, too."""
        self.level(now)
        self._level = max(-self.capacity, min(self.capacity, level))

    def give_back(self, amount: float, now: float) -> None:
        """Gives back an amount that was taken for something that turned out to be free."""
        self.settle(-amount, now)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until the amount can be taken, which is at most the capacity."""
        return max(0.0, amount - self.level(now)) / self.rate

    def until_full(self, now: float) -> float:
        """Seconds until the bucket is full, if nothing more is taken."""
        return self.wait(self.capacity, now)


Taken = Callable[[TokenBucket, float, float], None]
"""Is told of each amount that is taken from a bucket, negative where it is given back, and when."""


class Buckets:
    """One bucket for each account, all of the same rate and capacity. `share` says whom a new bucket tells what is
    taken from it."""

    def __init__(
        self,
        rate: float,
        capacity: float,
        *,
        most: int = MOST_ACCOUNTS,
        share: Callable[[str], Taken] | None = None,
    ) -> None:
        self.rate = rate
        self.capacity = capacity
        self._most = most
        self._share = share
        self._held: dict[str, TokenBucket] = {}

    def of(self, account: str, now: float) -> TokenBucket:
        """The account's bucket, which becomes the one used last."""
        held = self._held
        bucket = held.pop(account, None) or self._new(account, now)
        held[account] = bucket
        if len(held) > self._most:
            del held[next(iter(held))]
        return bucket

    def _new(self, account: str, now: float) -> TokenBucket:
        return TokenBucket(self.rate, self.capacity, now, self._share(account) if self._share is not None else None)
