"""Offers a node the streams that nobody fills: it claims a few at a time, so that all nodes share the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from tidegate.errors import StreamNotFound
from tidegate.stores.cluster import Orphan
from tidegate.stores.records import Look, StreamRecord
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.holdings import Holdings

CLAIMED_AT_ONCE = 8
"""Orphans that a node claims together: so many logs are read at the same time where they are continued."""


class Orphans:
    """Claims orphans while `may_claim` says so. `look` looks a stream up."""

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        holdings: Holdings,
        look: Callable[[str], Awaitable[Look]],
        may_claim: Callable[[], bool],
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._holdings = holdings
        self._look = look
        self._may_claim = may_claim
        self._news = asyncio.Event()
        self._claimed: dict[str, bool] = {}

    @property
    def offering(self) -> int:
        """How many streams have been claimed, but not offered yet."""
        return len(self._claimed)

    def look_again(self) -> None:
        """There may be orphans, or this node may claim them now."""
        self._news.set()

    async def offered(self) -> AsyncIterator[Orphan]:
        """See `Cluster.orphans`."""
        # The node may have been opened on another loop before.
        self._news = asyncio.Event()
        while True:
            self._news.clear()
            picked = await self._picked() if self._may_claim() else {}
            if not picked:
                await self._news.wait()
                continue
            claimed = {stream: picked[stream] for stream in await self._holdings.claim(picked)}
            self._claimed = claimed
            try:
                for record in await self._records(tuple(claimed)):
                    yield Orphan(record, claimed.pop(record.id))
            finally:
                for stream, handed_over in claimed.items():
                    self._holdings.abandon(stream, handed_over=handed_over)
                claimed.clear()

    async def _picked(self) -> dict[str, bool]:
        """Some orphans, and whether each was handed over. Two nodes seldom pick the same ones."""
        command = ("HRANDFIELD", self._keys.orphans, CLAIMED_AT_ONCE, "WITHVALUES")
        found = await self._shards.read(self._keys.orphans, command, within=FOR_EVER)
        return {stream.decode(): value == b"1" for stream, value in zip(found[::2], found[1::2], strict=True)}

    async def _records(self, streams: Sequence[str]) -> Sequence[StreamRecord]:
        """The records of those streams that still exist; the others are let go."""
        found = await asyncio.gather(*(self._record(stream) for stream in streams))
        return [record for record in found if record is not None]

    async def _record(self, stream: str) -> StreamRecord | None:
        try:
            return (await self._look(stream)).record
        except StreamNotFound:
            self._holdings.let_go(stream)
            self._claimed.pop(stream, None)
            return None
