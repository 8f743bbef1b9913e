"""Questions to the other nodes: each answers to the channel of the node that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from tidegate.stores.answering import Answering
from tidegate.stores.cluster import ANSWER_SECONDS
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.messages import Answered, Asked, decode, encode


class Asking:
    """A question under way: whose answers are awaited, and those that have come."""

    def __init__(self, others: frozenset[str]) -> None:
        self.said: dict[str, bytes] = {}
        self.is_over = asyncio.Event()
        self._awaited = set(others)

    def take(self, news: Answered) -> None:
        self._awaited.discard(news.sender)
        if news.said is not None:
            self.said[news.sender] = news.said
        if not self._awaited:
            self.is_over.set()


class Questions:
    """What `node` asks and answers; the `Listener` of its own channel."""

    def __init__(self, shards: Shards, keys: Keys, node: str) -> None:
        self.answering = Answering(node)
        self._shards = shards
        self._keys = keys
        self._node = node
        self._number = 0
        self._asking: dict[int, Asking] = {}

    async def ask(self, question: bytes, others: frozenset[str]) -> Mapping[str, bytes]:
        """See `Cluster.ask`."""
        if not others:
            return {}
        self._number += 1
        number, asking = self._number, Asking(others)
        self._asking[number] = asking
        try:
            self._publish(self._keys.news, encode(Asked(self._node, number, question)))
            with suppress(TimeoutError):
                await asyncio.wait_for(asking.is_over.wait(), ANSWER_SECONDS)
        finally:
            del self._asking[number]
        return asking.said

    def hear(self, news: Asked) -> None:
        """Answers a question of another node, also where there is no answer: it need not be waited for then."""
        if news.sender != self._node:
            reply = Answered(self._node, news.number, self.answering.reply(news.question))
            self._publish(self._keys.mail(news.sender), encode(reply))

    # As a `Listener`

    def heard(self, message: bytes) -> None:
        """Takes an answer; one that comes too late is dropped."""
        news = decode(message)
        if isinstance(news, Answered) and (asking := self._asking.get(news.number)) is not None:
            asking.take(news)

    def listens(self) -> None:
        """Answers that were missed count as none."""

    def _publish(self, channel: str, message: bytes) -> None:
        publish = (self._shards.publish, channel, message)
        self._shards.ask(channel, publish, within=ANSWER_SECONDS)
