"""Commands to the other nodes: published once, and heard at most once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from tidegate.stores.cluster import Command
from tidegate.stores.records import Unwatch
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.messages import Told, encode

TELL_SECONDS = 2.0
"""How long a command waits for Redis. Whoever needs it carried out tells it again."""

logger = logging.getLogger("tidegate.stores")


class Commands:
    """What `node` tells others, and hears from them."""

    def __init__(self, shards: Shards, keys: Keys, node: str) -> None:
        self._shards = shards
        self._keys = keys
        self._node = node
        self._number = 0
        # The number of the last command of each sender: what a broken connection sent twice is heard once.
        self._heard: dict[str, int] = {}
        self._listeners: dict[object, Callable[[Command], None]] = {}

    def tell(self, command: Command) -> None:
        """See `Cluster.tell`."""
        self._number += 1
        message = encode(Told(self._node, self._number, command))
        publish = (self._shards.publish, self._keys.news, message)
        self._shards.ask(self._keys.living, publish, within=TELL_SECONDS)

    def listen(self, on_command: Callable[[Command], None]) -> Unwatch:
        """See `Cluster.listen`."""
        key = object()
        self._listeners[key] = on_command
        return partial(self._listeners.pop, key, None)

    def hear(self, news: Told) -> None:
        """Calls the listeners with a command of another node."""
        if news.sender == self._node or news.number <= self._heard.get(news.sender, 0):
            return
        self._heard[news.sender] = news.number
        for listener in tuple(self._listeners.values()):
            try:
                listener(news.command)
            except Exception:
                logger.exception("a command of another node could not be carried out")

    def meet(self, others: frozenset[str]) -> None:
        """Forgets the senders that are gone."""
        self._heard = {node: number for node, number in self._heard.items() if node in others}
