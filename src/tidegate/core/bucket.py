"""Token buckets: how much a caller may take at once, and how fast it may go on."""

from __future__ import annotations

ROUNDING = 1e-6
"""Whoever waits for as long as it was told to must be let in."""

MOST_ACCOUNTS = 65536
"""Buckets held, 20 MB of them. Whoever was seen longest ago begins anew; a caller with that many names has no limit."""


class TokenBucket:
    """Holds at most `capacity`, gets `rate` a second, and begins full. `now` is in seconds and never goes back.

    What is settled afterwards may make it owe, but never more than its capacity: then nothing can be taken until it
    has paid, which takes as long as it would take to fill, and not for ever.
    """

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = now

    def level(self, now: float) -> float:
        """What can be taken; negative where it owes."""
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> bool:
        """Takes the amount, or nothing where it does not hold that much."""
        if self.level(now) < amount - ROUNDING:
            return False
        self._level -= amount
        return True

    def borrow(self, amount: float, now: float) -> bool:
        """Takes what is not there, or nothing where it would owe more than its capacity."""
        if self.level(now) - amount < -self.capacity - ROUNDING:
            return False
        self._level -= amount
        return True

    def settle(self, amount: float, now: float) -> None:
        """Takes what was used, whether it is there or not; a negative amount is given back."""
        self._level = max(-self.capacity, min(self.capacity, self.level(now) - amount))

    def give_back(self, amount: float, now: float) -> None:
        """Puts back what was taken for something that turned out to be free."""
        self.settle(-amount, now)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much is there; the amount is at most the capacity."""
        return max(0.0, amount - self.level(now)) / self.rate

    def until_full(self, now: float) -> float:
        """Seconds until it is full, if nothing more is taken."""
        return self.wait(self.capacity, now)


class Buckets:
    """One bucket for each account, all alike."""

    def __init__(self, rate: float, capacity: float, *, most: int = MOST_ACCOUNTS) -> None:
        self.rate = rate
        self.capacity = capacity
        self._most = most
        self._held: dict[str, TokenBucket] = {}

    def of(self, account: str, now: float) -> TokenBucket:
        """The account's bucket."""
        held = self._held
        bucket = held.pop(account, None) or TokenBucket(self.rate, self.capacity, now)
        held[account] = bucket
        if len(held) > self._most:
            del held[next(iter(held))]
        return bucket
