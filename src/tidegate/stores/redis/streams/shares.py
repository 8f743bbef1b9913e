"""Share tokens, by their digests. A stream has the list of its shares: what is not in it is void."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.stores.records import MAX_SHARES, Share, check_room
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Script
from tidegate.stores.redis.streams.catalogue import not_found

SHARE = Script("share")


class Shares:
    """The shares of all streams. `now` is in Unix seconds."""

    def __init__(self, shards: Shards, keys: Keys, *, brief: float, now: Callable[[], float]) -> None:
        self._shards = shards
        self._keys = keys
        self._brief = brief
        self._now = now

    async def add(self, share: Share) -> None:
        """See `Catalogue.share`."""
        record, shares, own = (
            self._keys.record(share.stream),
            self._keys.shares(share.stream),
            self._keys.share(share.digest),
        )
        expires_ms, now_ms = round(share.expires_at * 1000), round(self._now() * 1000)
        command = SHARE((record, shares), share.digest, expires_ms, now_ms, MAX_SHARES)
        outcome = await self._shards.ask(record, command, within=self._brief)
        if outcome == b"missing":
            raise not_found(share.stream)
        if outcome == b"many":
            check_room(MAX_SHARES)
        left_ms = max(1, expires_ms - now_ms)
        await self._shards.ask(own, ("SET", own, share.stream, "PX", left_ms), within=self._brief)

    async def find(self, digest: bytes) -> Share | None:
        """See `Catalogue.shared`."""
        own = self._keys.share(digest)
        stream = await self._shards.read(own, ("GET", own), within=self._brief)
        if stream is None:
            return None
        shares = self._keys.shares(stream.decode())
        expires = await self._shards.read(shares, ("HGET", shares, digest), within=self._brief)
        return None if expires is None else Share(digest, stream.decode(), int(expires) / 1000)

    async def drop(self, stream: str) -> None:
        """See `Catalogue.unshare`."""
        record, shares = self._keys.record(stream), self._keys.shares(stream)
        if not await self._shards.ask(record, ("HEXISTS", record, "record"), within=self._brief):
            raise not_found(stream)
        digests = await self._shards.ask(shares, ("HKEYS", shares), within=self._brief)
        await self._shards.ask(shares, ("DEL", shares), within=self._brief)
        for each in map(self._keys.share, digests):
            await self._shards.ask(each, ("DEL", each), within=self._brief)
