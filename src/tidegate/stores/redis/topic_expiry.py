"""Forgets topics: those that nobody uses any more, and those that give way to what their only sender does now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Any

from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.lane import FOR_EVER
from tidegate.stores.redis.script import Script
from tidegate.stores.redis.sender_charges import SenderCharges
from tidegate.stores.redis.shards import Shards

SWEPT = 500
"""Topics that a sweep looks at together."""

FORGET_TOPIC = Script("forget_topic")
LEAVE_INDEX = Script("leave_index")


class TopicExpiry:
    """Forgets topics that no node watches: Redis itself says whether a node listens to a topic's channel."""

    def __init__(self, shards: Shards, keys: Keys, charges: SenderCharges) -> None:
        self._shards = shards
        self._keys = keys
        self._charges = charges

    async def expire(self, before: float) -> int:
        """Forgets topics that were last published to before this time, in Unix seconds, and returns how many."""
        forgotten = passed = 0
        while page := await self._page(before, passed):
            results = await asyncio.gather(*(self._expired(topic, score, before) for topic, score in page))
            forgotten += results.count("forgotten")
            passed += results.count("stays")
        return forgotten

    async def forget(self, topic: str, before: float = inf, *, only: str = "") -> float | bool:
        """Forgets the topic with all charges, and returns whether there was one; if `only` is given, only if no other
        sender has something in it.

        Returns the time of its last publication where it stays.
        """
        keys = self._keys
        names = [keys.record(topic), keys.log(topic), keys.claims(topic), keys.senders(topic)]
        # In a cluster, a message to all of it is counted where the key is, too: nodes listen there.
        count = "SHARDNUMSUB" if self._shards.publish == "SPUBLISH" else "NUMSUB"
        command = FORGET_TOPIC(names, before, count, keys.news_of(topic), only)
        result, published_at, senders = await self._shards.ask(names[0], command, within=FOR_EVER)
        for sender in senders:
            await self._charges.settle(topic, sender.decode())
        return float(published_at) if result == b"stays" else result == b"forgotten"

    async def _expired(self, topic: str, score: bytes, before: float) -> str:
        result = await self.forget(topic, before)
        key = self._keys.topics
        if not isinstance(result, float):
            await self._shards.ask(key, LEAVE_INDEX((key,), topic, score), within=FOR_EVER)
            return "forgotten" if result else "gone"
        await self._shards.ask(key, ("ZADD", key, "XX", round(result * 1000), topic), within=FOR_EVER)
        return "stays" if result < before else "used"

    async def _page(self, before: float, passed: int) -> Sequence[tuple[str, bytes]]:
        """Topics by a time at which they were published to, before this one; without the first that have `passed`."""
        key = self._keys.topics
        command = ("ZRANGEBYSCORE", key, "-inf", f"({before * 1000}", "WITHSCORES", "LIMIT", passed, SWEPT)
        found: Any = await self._shards.ask(key, command, within=FOR_EVER)
        return [(topic.decode(), score) for topic, score in zip(found[::2], found[1::2], strict=True)]
