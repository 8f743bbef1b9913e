"""Forgets topics: those that nobody uses any more, and those that give way to what their only sender does now."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Container, Sequence
from math import inf
from typing import Any

from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Command, Script
from tidegate.stores.redis.topics.sender_charges import SenderCharges

SWEPT = 500
"""Topics that a sweep looks at together."""

FORGOTTEN = b"forgotten"
STAYS = b"stays"
USED = b"used"
"""What comes of a topic in a sweep: it is forgotten, or stays since it is watched, or was published to lately."""

FORGET_TOPIC = Script("forget_topic")
LEAVE_INDEX = Script("leave_index")


class TopicExpiry:
    """Forgets topics that no node watches: Redis itself says whether a node listens to a topic's channel, and `watched`
    has those that this node watches, though Redis may not have heard of it yet.

    Calls wait `brief` seconds for Redis.
    """

    def __init__(
        self, shards: Shards, keys: Keys, charges: SenderCharges, watched: Container[str], *, brief: float
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._charges = charges
        self._watched = watched
        self._brief = brief

    async def expire(self, before: float) -> int:
        """Forgets topics that were last published to before this time, in Unix seconds, and returns how many."""
        forgotten = passed = 0
        while page := await self._page(before, passed):
            results = await asyncio.gather(*(self._expired(topic, score, before) for topic, score in page))
            forgotten += results.count(FORGOTTEN)
            passed += results.count(STAYS)
        return forgotten

    async def give_way(self, topic: str, account: str) -> bool:
        """Forgets the topic if nobody but this account has something in it, and returns whether it did."""
        if topic in self._watched:
            return False
        outcome, _ = await self._forget(topic, inf, only=account)
        return outcome == FORGOTTEN

    async def _expired(self, topic: str, score: bytes, before: float) -> bytes:
        """Forgets a topic of the index, or enters there when it was published to last; returns what came of it."""
        if topic in self._watched:
            return STAYS
        outcome, published_at = await self._forget(topic, before)
        key = self._keys.topics
        if published_at is None or outcome == FORGOTTEN:
            await self._ask(key, LEAVE_INDEX((key,), topic, score))
            return outcome
        await self._ask(key, ("ZADD", key, "XX", round(published_at * 1000), topic))
        return outcome if published_at < before else USED

    async def _forget(self, topic: str, before: float, *, only: str = "") -> tuple[bytes, float | None]:
        """See the script: the outcome, and the time of the topic's last publication."""
        keys = self._keys
        names = (keys.record(topic), keys.log(topic), keys.claims(topic), keys.senders(topic))
        # Where a message goes to all of a cluster, the nodes listen to the server that has the topic all the same.
        count = "SHARDNUMSUB" if self._shards.publish == "SPUBLISH" else "NUMSUB"
        command = FORGET_TOPIC(names, before, count, keys.news_of(topic), only)
        outcome, published_at, senders = await self._ask(names[0], command)
        for sender in senders:
            await self._charges.settle(topic, sender.decode())
        return outcome, None if published_at is None else float(published_at)

    async def _page(self, before: float, passed: int) -> Sequence[tuple[str, bytes]]:
        """Topics by a time at which they were published to, before this one; without the first that have `passed`."""
        key = self._keys.topics
        command = ("ZRANGEBYSCORE", key, "-inf", f"({before * 1000}", "WITHSCORES", "LIMIT", passed, SWEPT)
        found: Any = await self._ask(key, command)
        return [(topic.decode(), score) for topic, score in zip(found[::2], found[1::2], strict=True)]

    def _ask(self, key: str, command: Command) -> Future[Any]:
        return self._shards.ask(key, command, within=self._brief)
