"""A node's lease: it is renewed by Redis' clock, and says when others are dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Argument, Script

COUNTS_LEASES = 10
"""For so many leases the counts of a node are kept that nobody buries, since there is no other: it may come back."""

RENEW = Script("renew")

BURY = Script("bury")

KEPT_MILLISECONDS = 7 * 86_400_000
"""How long Redis keeps what nodes know of each other after the last renewal of any: as long as it keeps a live stream
that nobody touches."""


class Renewed(msgspec.Struct, frozen=True):
    """A renewal. `lapsed`: the lease was over meanwhile, so that others may have taken what the node held."""

    lapsed: bool
    dead: Sequence[str]


class Lease:
    """The lease of one node. `clock` replaces Redis' own and the node's, in seconds: only tests have one."""

    def __init__(
        self, shards: Shards, keys: Keys, node: str, seconds: float, *, clock: Callable[[], float] | None = None
    ) -> None:
        self.milliseconds = round(seconds * 1000)
        self.counts_milliseconds = COUNTS_LEASES * self.milliseconds
        self._shards = shards
        self._keys = keys
        self._node = node
        self._seconds = seconds
        self._clock = clock
        self.local_time = clock or monotonic
        """What passes on this node, in seconds."""
        self._renewed_at = 0
        self._streak = 0

    @property
    def now(self) -> Argument:
        """What scripts are given as their time: nothing where they are to ask Redis."""
        return "" if self._clock is None else round(self._clock() * 1000)

    async def renew(self) -> Renewed:
        """Renews the lease. Raises `StoreUnavailable` where that takes longer than the lease."""
        keys = self._keys
        command = RENEW(
            (
                *(keys.living, keys.counts(self._node), keys.retiring, keys.held),
                *(keys.held_by(self._node), keys.orphans, keys.layout),
            ),
            *(self._shards.publish, keys.news),
            *(self._node, self.milliseconds, self.counts_milliseconds),
            *(self._renewed_at, self._streak, self.now, KEPT_MILLISECONDS),
        )
        is_new, now, streak, dead = await self._shards.ask(keys.living, command, within=self._seconds)
        lapsed = bool(is_new) or now - self._renewed_at >= self.milliseconds
        self._renewed_at, self._streak = now, streak
        return Renewed(lapsed, [node.decode() for node in dead])

    async def bury(self, *dead: str, leaves: bool = False, within: float = FOR_EVER) -> None:
        """Removes nodes whose leases are over, or this one where it `leaves`."""
        keys = self._keys
        command = BURY(
            (keys.living, keys.retiring, keys.held, keys.orphans),
            *(self._shards.publish, keys.news, keys.held_by(""), keys.counts("")),
            *(self.now, self._node if leaves else "", self.milliseconds, self._renewed_at),
            *dead,
        )
        await self._shards.ask(keys.living, command, within=within)
