"""Which nodes there are, and how many orphans wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards

LOOK_SECONDS = 2.0
"""How long a look may take; the next renewal looks anyway."""


class Members:
    """The living nodes, as this one has seen them last. `seen` is called after each look."""

    def __init__(self, shards: Shards, keys: Keys, node: str, seen: Callable[[], None]) -> None:
        self.others: frozenset[str] = frozenset()
        self.retiring: frozenset[str] = frozenset()
        self.orphaned = 0
        self._shards = shards
        self._keys = keys
        self._node = node
        self._seen = seen

    async def look(self) -> None:
        """Looks anew, in the order of all commands: so an older state never follows a newer one."""
        keys = self._keys
        living, retiring, self.orphaned = await asyncio.gather(
            self._shards.ask(keys.living, ("ZRANGE", keys.living, 0, -1), within=LOOK_SECONDS),
            self._shards.ask(keys.living, ("SMEMBERS", keys.retiring), within=LOOK_SECONDS),
            self._shards.ask(keys.living, ("HLEN", keys.orphans), within=LOOK_SECONDS),
        )
        self.others = frozenset(node.decode() for node in living) - {self._node}
        self.retiring = frozenset(node.decode() for node in retiring)
        self._seen()
