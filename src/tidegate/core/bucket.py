"""Token buckets: how much a caller may take at once, and how fast its bucket is refilled."""

from __future__ import annotations

ROUNDING = 1e-6
"""Tolerated rounding error: a caller that has waited for as long as it was told must be let in."""

MOST_ACCOUNTS = 65536
"""How many buckets are kept, 20 MB in all. The account seen longest ago gets a new, full bucket; so a caller with that
many names has no limit."""


class TokenBucket:
    """Holds at most `capacity` tokens, gains `rate` a second, and begins full. `now` is in seconds and never goes back.

    Settling may leave a negative level, but none below minus the capacity: then nothing can be taken until the bucket
    is refilled to 0, which takes no longer than filling an empty one.
    """

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = now

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
        self._level -= amount
        return True

    def borrow(self, amount: float, now: float) -> bool:
        """Takes the amount even if the level becomes negative, or nothing where it would fall below minus the capacity;
        whether it was taken."""
        if self.level(now) - amount < -self.capacity - ROUNDING:
            return False
        self._level -= amount
        return True

    def settle(self, amount: float, now: float) -> None:
        """Takes an amount that was used, whatever the level; a negative amount is given back."""
        self._level = max(-self.capacity, min(self.capacity, self.level(now) - amount))

    def give_back(self, amount: float, now: float) -> None:
        """Gives back an amount that was taken for something that turned out to be free."""
        self.settle(-amount, now)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until the amount can be taken, which is at most the capacity."""
        return max(0.0, amount - self.level(now)) / self.rate

    def until_full(self, now: float) -> float:
        """Seconds until the bucket is full, if nothing more is taken."""
        return self.wait(self.capacity, now)


class Buckets:
    """One bucket for each account, all of the same rate and capacity."""

    def __init__(self, rate: float, capacity: float, *, most: int = MOST_ACCOUNTS) -> None:
        self.rate = rate
        self.capacity = capacity
        self._most = most
        self._held: dict[str, TokenBucket] = {}

    def of(self, account: str, now: float) -> TokenBucket:
        """The account's bucket, which becomes the one used last."""
        held = self._held
        bucket = held.pop(account, None) or TokenBucket(self.rate, self.capacity, now)
        held[account] = bucket
        if len(held) > self._most:
            del held[next(iter(held))]
        return bucket
