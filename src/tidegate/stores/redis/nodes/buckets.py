"""Token buckets that all nodes share: each decides at once by what it knows, and what others took meanwhile is a debt.

A node lets through what its own copy of a bucket holds, tells Redis the amount, and is answered what is left for all.
Nobody waits for that. What two nodes have let through at the same time makes the level negative, so that later
requests pay for it: over time, no more is let through than one bucket would have.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from functools import partial
from typing import Any

from tidegate.core.bucket import Buckets, Taken, TokenBucket
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.lease import Lease
from tidegate.stores.redis.script import Script

TAKE = Script("take")


class Debt:
    """What this node took from one account's bucket and Redis has not been told of; one amount is under way at a time.

    `offset` is the difference between the clock of those who take and this node's.
    """

    __slots__ = ("account", "amount", "is_under_way", "offset")

    def __init__(self, account: str) -> None:
        self.account = account
        self.amount = 0.0
        self.is_under_way = False
        self.offset = 0.0


class SharedBuckets:
    """This node's copies of the buckets with one name."""

    def __init__(
        self, shards: Shards, keys: Keys, node: str, lease: Lease, name: str, rate: float, capacity: float
    ) -> None:
        self.buckets = Buckets(rate, capacity, share=self._share)
        self._shards = shards
        self._keys = keys
        self._node = node
        self._lease = lease
        self._name = name
        self._number = 0
        self._owed: dict[Debt, TokenBucket] = {}

    def _share(self, account: str) -> Taken:
        return partial(self._taken, Debt(account))

    def _taken(self, debt: Debt, bucket: TokenBucket, amount: float, now: float) -> None:
        debt.amount += amount
        debt.offset = now - self._lease.local_time()
        if not debt.is_under_way:
            self._owe(debt, bucket)

    def _owe(self, debt: Debt, bucket: TokenBucket) -> None:
        """Tells Redis in the next turn of the loop, with what is taken until then."""
        if not self._owed:
            asyncio.get_running_loop().call_soon(self._tell)
        self._owed[debt] = bucket

    def _tell(self) -> None:
        owed, self._owed = self._owed, {}
        for debt, bucket in owed.items():
            self._number += 1
            amount, debt.amount, debt.is_under_way = debt.amount, 0.0, True
            key = self._keys.bucket(self._name, debt.account)
            rate, capacity = self.buckets.rate, self.buckets.capacity
            command = TAKE((key,), self._node, self._number, rate, capacity, amount, self._lease.now)
            answer = self._shards.ask(key, command, within=FOR_EVER)
            answer.add_done_callback(partial(self._told, debt, bucket))

    def _told(self, debt: Debt, bucket: TokenBucket, answer: Future[Any]) -> None:
        debt.is_under_way = False
        if answer.exception() is not None:
            return
        bucket.correct(float(answer.result()) - debt.amount, self._lease.local_time() + debt.offset)
        if debt.amount:
            self._owe(debt, bucket)
