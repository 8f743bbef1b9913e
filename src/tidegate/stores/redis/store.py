"""The store in Redis or Valkey, which many nodes share: what it promises holds for as long as Redis keeps what it has
acknowledged."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from secrets import randbits

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import Appendable, Event, Published
from tidegate.core.fold import Status
from tidegate.core.log import epoch_at
from tidegate.core.topic import is_topic
from tidegate.errors import StorageFull, StoreUnavailable, StreamNotFound
from tidegate.stores.cluster import Cluster
from tidegate.stores.ledger import BLOCK_BYTES
from tidegate.stores.records import (
    Claim,
    Claimed,
    Fence,
    Found,
    Look,
    Share,
    StreamRecord,
    TopicRecord,
    Unwatch,
    base_of,
)
from tidegate.stores.redis.accounts import Accounts
from tidegate.stores.redis.checks import check, check_layout
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.link.shards_at import shards_at
from tidegate.stores.redis.nodes.node import RedisNode
from tidegate.stores.redis.streams.catalogue import Catalogue, not_found
from tidegate.stores.redis.streams.claims import Claims, claim_of, text_of
from tidegate.stores.redis.streams.filling import Filling
from tidegate.stores.redis.streams.served import ServedStreams
from tidegate.stores.redis.streams.shares import Shares
from tidegate.stores.redis.topics.topics import RedisTopics
from tidegate.stores.redis.url import Place

BRIEF_SECONDS = 2.0
"""How long a call of the API waits for Redis: a connection that breaks is replaced in a tenth of that, and who would
wait longer is better told to come back."""

LONGER_SECONDS = 3600.0
"""So much longer than its retention Redis keeps what has ended, should no node be there to forget it."""

LONGEST_SECONDS = 7 * 86400.0
"""How long indexes, accounts and idempotency keys outlive their last change: longer than any stream is live."""


logger = logging.getLogger("tidegate.stores")


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a Redis store is opened with: limits in bytes (0: none), times in seconds."""

    prefix: str
    max_generation_bytes: int
    max_stored_bytes: int
    max_stored_bytes_each: int
    topic_history: int
    retention_seconds: float
    patience_seconds: float
    longer_seconds: float = LONGER_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    brief_seconds: float = BRIEF_SECONDS

    @property
    def kept_ms(self) -> int:
        """How long Redis keeps what has ended."""
        return round(1000 * (self.retention_seconds + self.longer_seconds))

    @property
    def longest_ms(self) -> int:
        """How long Redis keeps what belongs to live streams."""
        return round(1000 * (self.retention_seconds + self.longest_seconds))


class RedisStore:
    """A `Store`. Appends of many streams go to Redis together; readers on the node that fills a stream never ask it."""

    name = "redis"
    outlives_process = True

    def __init__(
        self,
        place: Place,
        settings: RedisSettings,
        *,
        now: Callable[[], float],
        random_bits: Callable[[int], int] = randbits,
    ) -> None:
        self._place = place
        self._settings = settings
        self.keys = keys = Keys(settings.prefix)
        self.shards: Shards = shards_at(place)
        brief = settings.brief_seconds
        self.served = ServedStreams(self.shards, keys)
        self.accounts = Accounts(
            self.shards,
            keys,
            each=settings.max_stored_bytes_each,
            total=settings.max_stored_bytes,
            keep_ms=settings.longest_ms,
            forget=self._evict,
        )
        self._catalogue = Catalogue(self.shards, keys, brief=brief, keep_ms=settings.longest_ms, now=now)
        self._claims = Claims(self.shards, keys, keep_ms=settings.longest_ms, exists=self._catalogue.exists)
        self._shares = Shares(self.shards, keys, brief=brief, now=now)
        self._filling = Filling(
            self.shards,
            keys,
            self.served,
            self.accounts,
            max_bytes=settings.max_generation_bytes,
            patience=settings.patience_seconds,
            brief=brief,
            live_ms=settings.longest_ms,
            ended_ms=settings.kept_ms,
            now_ms=lambda: round(now() * 1000),
            random_bits=random_bits,
            ended=self._ended,
            lost=self._lost,
        )
        self._topics = RedisTopics(
            self.shards,
            keys,
            self.accounts,
            history=settings.topic_history,
            brief=brief,
            keep_ms=settings.kept_ms,
            index_ms=settings.longest_ms,
            now=now,
            random_bits=random_bits,
        )
        self._settling: set[asyncio.Task[None]] = set()
        self._nodes: list[RedisNode] = []

    @property
    def fault(self) -> str | None:
        since, health = self.shards.health.since, self.shards.health
        if since is None or asyncio.get_running_loop().time() - since < self._settings.patience_seconds:
            return None
        return f"Redis cannot be used for more than {self._settings.patience_seconds:g} s: {health.reason}"

    async def open(self) -> Sequence[StreamRecord]:
        """Reaches Redis. Live streams that no node fills are offered by the cluster."""
        try:
            await self.shards.open()
        except StoreUnavailable:
            reason = self.shards.health.reason
            raise StoreUnavailable(f"Redis at {self._place.named} cannot be reached: {reason}") from None
        await check(self.shards)
        await check_layout(self.shards, self.keys, keep_ms=self._settings.longest_ms)
        return ()

    async def close(self) -> None:
        for task in self._settling:
            task.cancel()
        await self._topics.close()
        await self.shards.close()
        self._filling.clear()
        self.served.clear()

    # Log

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> Future[int]:
        return self._filling.append(events, fence=fence, expected=expected)

    async def tail(self, stream: str) -> Cursor:
        if is_topic(stream):
            return await self._topics.tail(stream)
        epochs, tail = await self._catalogue.positions(stream)
        return Cursor(epoch_at(epochs, tail), tail)

    async def position(self, stream: str, offset: int) -> Cursor:
        if is_topic(stream):
            return await self._topics.position(stream, offset)
        epochs, _ = await self._catalogue.positions(stream)
        return Cursor(epoch_at(epochs, offset), offset)

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        where = self._topics if is_topic(stream) else self.served
        return where.read(stream, after, limit=limit, max_bytes=max_bytes)

    def join(self, node: str, lease_seconds: float) -> Cluster:
        joined = RedisNode(
            self.shards,
            self.keys,
            node,
            lease_seconds,
            self.look,
            released=self._filling.lose,
            here=self._nodes,
        )
        self._nodes.append(joined)
        return joined

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        return (self._topics if is_topic(stream) else self.served).watch(stream, wake)

    # Catalogue

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        brief = self._settings.brief_seconds
        await self._told_who_fills()
        if claim is not None and (earlier := await self._claims.make(claim, record.id, within=brief)) is not None:
            return earlier
        base = base_of(record, claim)
        try:
            # However much has to be forgotten for it: beyond that time others take the claim for void.
            async with asyncio.timeout(2 * brief):
                await self.accounts.charge(record.owner, record.id, base + BLOCK_BYTES, within=brief)
                self._catalogue.enter(record.id, record.owner)
                return await self._filling.create(record, events, base, text_of(claim) if claim is not None else "")
        except StorageFull:
            self._unclaim(record.id, claim)
            raise
        except (StoreUnavailable, TimeoutError) as error:
            # Redis may have done what was asked, or do it yet.
            self._settle(record, claim)
            raise StoreUnavailable(str(error) or "the store takes too long to create a stream") from None

    async def claimed(self, claim: Claim) -> Claimed | None:
        return await self._claims.find(claim, within=self._settings.brief_seconds)

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        await self._told_who_fills()
        fence = await self._filling.acquire(stream, lease, lambda record, text: base_of(record, claim_of(text)))
        if self._nodes and not any(node.holds(stream) for node in self._nodes):
            # Another node has come to hold it meanwhile: what that appends is to be heard here.
            self._filling.lose(stream)
        return fence

    async def mark_running(self, fence: Fence) -> None:
        await self._filling.mark_running(fence)

    async def look(self, stream: str) -> Look:
        return await self._catalogue.look(stream)

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        return await self._catalogue.list(owner=owner, status=status, before=before, limit=limit)

    async def share(self, share: Share) -> None:
        await self._shares.add(share)

    async def shared(self, digest: bytes) -> Share | None:
        return await self._shares.find(digest)

    async def unshare(self, stream: str) -> None:
        await self._shares.drop(stream)

    async def forget(self, stream: str) -> None:
        record, claim = await self._catalogue.forget(stream)
        self._filling.lose(stream)
        if (held := self.served.get(stream)) is not None:
            held.forget()
        self.accounts.give_back(record.owner, stream)
        self._unclaim(stream, claim_of(claim))

    # Topics

    async def open_topic(self, topic: str) -> Cursor:
        return await self._topics.open_topic(topic)

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Future[Cursor]:
        return self._topics.publish(topic, event, claim=claim)

    async def topic(self, topic: str) -> TopicRecord:
        return await self._topics.topic(topic)

    # The store as a whole

    async def expire(self, before: float) -> int:
        count = await self._topics.expire(before)
        while streams := await self._catalogue.ended_before(before):
            for stream in streams:
                try:
                    await self.forget(stream)
                    count += 1
                except StreamNotFound:
                    # Its time in Redis was over, or another node has forgotten it.
                    self._catalogue.remove(stream, "")
        return count

    async def _told_who_fills(self) -> None:
        """Waits until Redis knows what this node holds: were it to die after it has created a stream, and before it has
        said so, nobody would ever end the stream. Raises `StoreUnavailable`."""
        for node in self._nodes:
            await node.settled(within=self._settings.brief_seconds)

    # What one call leaves to others

    async def _evict(self, name: str, account: str) -> None:
        """Forgets an ended stream, or a topic that is the account's alone, before its time."""
        if is_topic(name):
            await self._topics.give_way(name, account)
            return
        try:
            await self.forget(name)
        except StreamNotFound:
            # Its time in Redis was over, or whoever has forgotten it died before the account was told.
            self._catalogue.remove(name, account)
            self.accounts.give_back(account, name)

    def _ended(self, record: StreamRecord, claim: str, ended_ms: int) -> None:
        self._catalogue.end(record.id, ended_ms)
        self._unclaim(record.id, claim_of(claim), in_ms=self._settings.kept_ms)

    def _lost(self, stream: str) -> None:
        """Redis has lost a stream that this node fills, or its right to fill it: whatever fills it stops."""
        logger.warning("Redis has lost stream %s, or that this node fills it", stream)
        for node in self._nodes:
            node.lose(stream)

    def _unclaim(self, stream: str, claim: Claim | None, *, in_ms: int = 0) -> None:
        if claim is not None:
            self._claims.let_go(claim, stream, in_ms=in_ms)

    def _settle(self, record: StreamRecord, claim: Claim | None) -> None:
        """Takes back a stream whose creator was told that there is none, as soon as Redis answers.

        Whoever repeats the call with its key may be told of the stream before that: then it stays, and is an orphan.
        """
        if claim is not None:
            for node in self._nodes:
                node.abandon(record.id)
        task = asyncio.get_running_loop().create_task(self._take_back(record, claim))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _take_back(self, record: StreamRecord, claim: Claim | None) -> None:
        while True:
            try:
                if claim is None:
                    await self.forget(record.id)
                elif not await self._catalogue.exists(record.id):
                    raise not_found(record.id)
            except StoreUnavailable:
                await asyncio.sleep(self._settings.brief_seconds)
                continue
            except StreamNotFound:
                self._catalogue.remove(record.id, record.owner)
                self.accounts.give_back(record.owner, record.id)
                self._unclaim(record.id, claim)
            return
