"""What the senders of topics are charged: a block of bytes ahead, so that most events are published by one command.

A topic has beside its events how much each sender has in it, and for how much its account is charged. No event is
published beyond that. Near an account's limit nothing is charged ahead, and what was charged ahead is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tidegate.errors import StorageFull, StoreUnavailable
from tidegate.stores.ledger import BLOCK_BYTES
from tidegate.stores.redis.accounts import Accounts
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Script

REMEMBERED = 1000
"""Senders and topics of which a node remembers that it charged ahead, or that they could not be forgotten. What falls
out of it stays charged for a block too much, or is not forgotten early, until the sender's next event there."""

LATER_MS = 10**14
"""Added to the time at which a topic can be forgotten: all ended streams of an account are forgotten before it."""

SETTLE = Script("settle")


class SenderCharges:
    """Charges senders. Calls wait `brief` seconds for Redis, the index of topics lasts `keep_ms` without a change, and
    `now` is in Unix seconds."""

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        accounts: Accounts,
        *,
        brief: float,
        keep_ms: int,
        now: Callable[[], float],
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._accounts = accounts
        self._brief = brief
        self._keep_ms = keep_ms
        self._now = now
        self._ahead: dict[tuple[str, str], None] = {}
        self._kept: dict[tuple[str, str], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def cover(self, topic: str, sender: str, size: int, *, ahead: int, at: float) -> int:
        """Charges the sender for `size` bytes in the topic, where it can for `ahead` bytes more, and returns for how
        many.

        `at` is the time of the event that needs them, in Unix seconds. Raises `StorageFull` or `StoreUnavailable`.
        """
        index = self._keys.topics
        # First of all, so that whatever follows will be given back with the topic.
        await self._shards.ask(index, ("ZADD", index, round(at * 1000), topic), within=self._brief)
        self._shards.tell(index, ("PEXPIRE", index, self._keep_ms))
        try:
            await self._charge(topic, sender, size + ahead, at)
        except StorageFull:
            await self._give_back(sender)
            await self._charge(topic, sender, size, at)
            return size
        _remember(self._ahead, sender, topic)
        return size + ahead

    def lower(self, topic: str, sender: str) -> None:
        """Begins to give back what the sender is charged too much."""
        task = asyncio.get_running_loop().create_task(self._lower(topic, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, topic: str, sender: str, *, block: int = BLOCK_BYTES) -> None:
        """Charges the sender for what it has in the topic and a `block`; for nothing where it has nothing there.

        Repeated until nobody has charged it for something else meanwhile. Raises `StoreUnavailable`.
        """
        key, told = self._keys.senders(topic), -1
        while (size := await self._settled(key, sender, told, block)) is not None:
            self._accounts.end(sender, topic, size, round(self._now() * 1000) + LATER_MS)
            told = size

    async def close(self) -> None:
        """Waits for what has begun."""
        await asyncio.gather(*self._tasks)
        self._ahead.clear()
        self._kept.clear()

    async def keep(self, topic: str, sender: str) -> None:
        """Notes that the topic cannot be forgotten for what the sender publishes, until `renew` is called.

        Raises `StoreUnavailable`.
        """
        key = self._keys.senders(topic)
        known = await self._shards.ask(key, ("HGET", key, sender), within=self._brief)
        charged = int(known.split()[1]) if known is not None else 0
        if not charged:
            self._accounts.give_back(sender, topic)
            return
        # What has no time from which on it can be forgotten is charged as a live stream is.
        await self._accounts.charge(sender, topic, charged, within=self._brief)
        _remember(self._kept, sender, topic)

    async def renew(self) -> None:
        """Lets accounts try anew whether they can do without the topics that could not be forgotten."""
        kept, self._kept = self._kept, {}
        for sender, topic in kept:
            await self.settle(topic, sender)

    async def _charge(self, topic: str, sender: str, size: int, at: float) -> None:
        await self._accounts.charge(sender, topic, size, within=self._brief)
        self._accounts.end(sender, topic, size, round(at * 1000) + LATER_MS)

    async def _settled(self, key: str, sender: str, told: int, block: int) -> int | None:
        """See the script."""
        return await self._shards.ask(key, SETTLE((key,), sender, told, block), within=self._brief)

    async def _lower(self, topic: str, sender: str) -> None:
        # Otherwise the sender stays charged for too much until its next event, or until the topic is forgotten.
        with suppress(StoreUnavailable):
            await self.settle(topic, sender)

    async def _give_back(self, sender: str) -> None:
        for each, topic in tuple(self._ahead):
            if each == sender:
                self._ahead.pop((each, topic), None)
                await self.settle(topic, sender, block=0)


def _remember(pairs: dict[tuple[str, str], None], sender: str, topic: str) -> None:
    pairs.pop((sender, topic), None)
    pairs[sender, topic] = None
    if len(pairs) > REMEMBERED:
        del pairs[next(iter(pairs))]
