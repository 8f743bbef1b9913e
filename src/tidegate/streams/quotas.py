"""What one account may have at once: live generations, readers, and the tokens of a minute."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tidegate.core.bucket import Buckets, TokenBucket
from tidegate.core.events import GenerationRequest
from tidegate.errors import TokensExhausted, TooManyGenerations, TooManyReaders
from tidegate.stores.cluster import Cluster, Count

ANSWER_TOKENS = 1024
"""Tokens reserved for an answer that names no `max_tokens`. Most are shorter; were nothing reserved, a caller could
start any number of them before the first is settled."""

AGAIN_SECONDS = 1.0
"""The `retry_after` where an account has no free slot for a generation: nobody knows when an answer ends."""

SEAT_AGAIN_SECONDS = (5.0, 15.0)
"""The range of `retry_after` where an account has no free slot for a reader, which stays for long. An `EventSource`
comes back for ever, and each try counts as a request: a hundred too many use up the default request limit. Spread, so
that they do not come together."""


class Slot:
    """One of an account's limited number of slots, given back once: as a context manager at its exit, unless kept."""

    __slots__ = ("_account", "_cluster", "_kept", "_what")

    def __init__(self, cluster: Cluster, what: Count, account: str) -> None:
        cluster.add(what, account, 1)
        self._cluster: Cluster | None = cluster
        self._what: Count = what
        self._account = account
        self._kept = False

    def keep(self) -> Self:
        """Leaves it to the caller to give the slot back."""
        self._kept = True
        return self

    def give_back(self) -> None:
        """Frees the slot. Harmless when repeated."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.add(self._what, self._account, -1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.give_back()


class Allowance:
    """What one generation was admitted with: a slot, and tokens that were reserved in advance."""

    def __init__(self, place: Slot, bucket: TokenBucket | None, reserved: int, clock: Callable[[], float]) -> None:
        self._place = place
        self._bucket = bucket
        self._reserved = reserved
        self._clock = clock

    def settle(self, used: int) -> None:
        """Gives the slot back and charges the tokens that the ended generation has used. Harmless when repeated."""
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.settle(used - self._reserved, self._clock())
        self._place.give_back()


class Quotas:
    """Counts slots by account, over all nodes, and tokens. 0 means no limit; `tokens` is None if they are unlimited.

    `clock` is in seconds, `random` draws from [0, 1).
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        generations: int = 0,
        readers: int = 0,
        tokens: Buckets | None = None,
        clock: Callable[[], float],
        random: Callable[[], float] = random.random,
    ) -> None:
        self._cluster = cluster
        self._most_generations = generations
        self._most_readers = readers
        self._tokens = tokens
        self._clock = clock
        self._random = random

    def admit(self, account: str, request: GenerationRequest) -> Allowance:
        """Admits a generation. Raises `TooManyGenerations` or `TokensExhausted`.

        The tokens it may cost, its prompt and `max_tokens` or `ANSWER_TOKENS`, are reserved at once, but never more
        than a full bucket holds.
        """
        with self.place(account) as place:
            bucket = self._bucket(account)
            reserved = 0 if bucket is None else self._reserve(bucket, request)
            return Allowance(place.keep(), bucket, reserved, self._clock)

    def resume(self, account: str) -> Allowance:
        """Admits a generation that a process which is gone had admitted already."""
        return Allowance(self.place(account, resumed=True), self._bucket(account), 0, self._clock)

    def place(self, account: str, *, resumed: bool = False) -> Slot:
        """A slot for a live stream. Raises `TooManyGenerations`, but not for a `resumed` stream, which had one."""
        if not resumed and self._is_full("generations", self._most_generations, account):
            raise TooManyGenerations(
                f"{self._most_generations} generations of yours are live, which is the limit", retry_after=AGAIN_SECONDS
            )
        return Slot(self._cluster, "generations", account)

    def seat(self, account: str) -> Slot:
        """A slot for one reader. Raises `TooManyReaders`."""
        if self._is_full("seats", self._most_readers, account):
            low, high = SEAT_AGAIN_SECONDS
            raise TooManyReaders(
                f"{self._most_readers} readers of yours are attached, which is the limit",
                retry_after=low + (high - low) * self._random(),
            )
        return Slot(self._cluster, "seats", account)

    def _bucket(self, account: str) -> TokenBucket | None:
        return None if self._tokens is None else self._tokens.of(account, self._clock())

    def _reserve(self, bucket: TokenBucket, request: GenerationRequest) -> int:
        now = self._clock()
        wanted = min(expected_tokens(request), int(bucket.capacity))
        if not bucket.take(wanted, now):
            left = _left(math.floor(bucket.level(now)), int(bucket.capacity))
            advice = "" if request.max_tokens is not None else "; with a max_tokens it may take less"
            raise TokensExhausted(
                f"this may take {wanted} tokens, and {left}{advice}", retry_after=bucket.wait(wanted, now)
            )
        return wanted

    def _is_full(self, what: Count, most: int, account: str) -> bool:
        return 0 < most <= self._cluster.total(what, account)


def expected_tokens(request: GenerationRequest) -> int:
    """How many tokens a generation may take: its prompt, estimated, and the longest answer it allows."""
    return request.prompt_tokens + (ANSWER_TOKENS if request.max_tokens is None else request.max_tokens)


def _left(level: int, capacity: int) -> str:
    if level < 0:
        return f"this minute's {capacity} are used up, and {-level} of the next"
    return f"{level} are left of this minute's {capacity}"
