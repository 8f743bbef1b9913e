"""Topics in Redis: any node publishes to any topic, and the readers of each node are woken by its one subscription."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tidegate.core.cursor import Cursor, new_epoch
from tidegate.core.events import Published
from tidegate.core.topic import is_topic
from tidegate.stores.records import Claim, Found, TopicRecord, Unwatch
from tidegate.stores.redis.accounts import Accounts
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Script
from tidegate.stores.redis.topics.expiry import TopicExpiry
from tidegate.stores.redis.topics.publishing import Publishing
from tidegate.stores.redis.topics.record import FIELDS, Positions, record_of
from tidegate.stores.redis.topics.sender_charges import SenderCharges
from tidegate.stores.redis.topics.watched import WatchedTopic
from tidegate.stores.topic_log import no_topic

UNUSED_MS = 300_000
"""Milliseconds for which a topic is known that nobody has published to: five sweeps, each of which renews those that
are watched."""

KNOWN_TOPICS = 10_000
"""How many topics a node knows to be there without asking: it has opened them, or published to them, lately."""

OPEN_TOPIC = Script("open_topic")
READ_TOPIC = Script("read_topic")


class RedisTopics:
    """The port `Topics` for one node, and that part of `Log` which topics have. `now` is in Unix seconds.

    `brief` is how many seconds a caller waits for Redis. Redis keeps a topic for `keep_ms` after its last event, or its
    last watcher, if no node forgets it earlier, and the index of all topics for `index_ms` after the last change.
    """

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        accounts: Accounts,
        *,
        history: int,
        brief: float,
        keep_ms: int,
        index_ms: int,
        now: Callable[[], float],
        random_bits: Callable[[int], int],
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._brief = brief
        self._keep_ms = keep_ms
        self._now = now
        self._random_bits = random_bits
        self._charges = SenderCharges(shards, keys, accounts, brief=brief, keep_ms=index_ms, now=now)
        self._publishing = Publishing(
            shards,
            keys,
            self._charges,
            history=history,
            brief=brief,
            keep_ms=keep_ms,
            random_bits=random_bits,
            on_published=self._published,
        )
        self._watched: dict[str, WatchedTopic] = {}
        self._expiry = TopicExpiry(shards, keys, self._charges, self._watched, brief=brief)
        # When this node has learnt that a topic is there, and its tail then.
        self._known: dict[str, tuple[float, Cursor]] = {}

    # As `Topics`

    async def open_topic(self, topic: str) -> Cursor:
        self._check(topic)
        tail = await self.reopened(topic, within=self._brief)
        self._note(topic, tail)
        return tail

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Future[Cursor]:
        self._check(topic)
        return self._publishing.publish(topic, event, claim)

    async def topic(self, topic: str) -> TopicRecord:
        record = record_of(topic, await self._fields(topic, *FIELDS))
        if record is None or (record.published_at is None and topic not in self._known):
            raise no_topic(topic)
        self._note(topic, record.tail)
        return record

    # As `Log`

    async def tail(self, topic: str) -> Cursor:
        return (await self._positions(topic)).tail

    async def position(self, topic: str, offset: int) -> Cursor:
        return (await self._positions(topic)).at(offset)

    def read(self, topic: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        self._check(topic)
        watched = self._watched.get(topic)
        if watched is not None:
            return watched.read(after, limit=limit, max_bytes=max_bytes)
        return asyncio.get_running_loop().create_task(self.found(topic, after, limit=limit, max_bytes=max_bytes))

    def watch(self, topic: str, wake: Callable[[], None]) -> Unwatch:
        watched = self._watched.get(topic)
        if watched is None:
            if topic not in self._known:
                raise no_topic(topic)
            _, at = self._known[topic]
            watched = WatchedTopic(topic, at, self, on_left=partial(self._left, topic))
            self._watched[topic] = watched
            self._shards.listen(self._keys.news_of(topic), watched)
        return watched.watch(wake)

    # For the store

    async def expire(self, before: float) -> int:
        """Forgets unwatched topics that were last published to before this time, in Unix seconds; returns how many.

        What this node watches is kept alive.
        """
        for topic in [each for each, (known_at, _) in self._known.items() if known_at < before]:
            if topic not in self._watched:
                del self._known[topic]
        await asyncio.gather(*(self.reopened(topic, within=self._brief) for topic in tuple(self._watched)))
        await self._charges.renew()
        return await self._expiry.expire(before)

    async def give_way(self, topic: str, account: str) -> None:
        """Forgets the topic for what the account publishes now, if only this account has published to it and nobody
        watches it."""
        if not await self._expiry.give_way(topic, account):
            await self._charges.keep(topic, account)

    async def close(self) -> None:
        """Waits for what is being published, wakes all watchers, and forgets what this node knows."""
        await self._publishing.close()
        await self._charges.close()
        watched = dict(self._watched)
        self._watched.clear()
        for each in watched.values():
            self._shards.ignore(self._keys.news_of(each.topic))
            each.close()
            each.wake()
        self._known.clear()

    # As the `Source` of what is watched

    async def found(self, topic: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        keys = [self._keys.record(topic), self._keys.log(topic)]
        command = READ_TOPIC(keys, "" if after is None else after.offset, limit, max_bytes)
        answer: Any = await self._shards.read(keys[0], command, within=FOR_EVER)
        if answer is None:
            raise no_topic(topic)
        epochs, tail, first, events = answer
        return self._positions_there(topic, epochs, tail, first).found(after, events)

    async def reopened(self, topic: str, *, within: float = FOR_EVER) -> Cursor:
        keys = [key(topic) for key in (self._keys.record, self._keys.log, self._keys.claims, self._keys.senders)]
        command = OPEN_TOPIC(keys, new_epoch(self._random_bits(64)), self._keep_ms, UNUSED_MS)
        epochs, tail = await self._shards.ask(keys[0], command, within=within)
        return Positions.of(epochs, tail).tail

    def _published(self, topic: str, at: Cursor, json: bytes | None) -> None:
        self._note(topic, at)
        if (watched := self._watched.get(topic)) is not None:
            watched.published(at, json)

    def _note(self, topic: str, tail: Cursor) -> None:
        self._known.pop(topic, None)
        self._known[topic] = (self._now(), tail)
        if len(self._known) > KNOWN_TOPICS:
            del self._known[next(iter(self._known))]

    def _left(self, topic: str) -> None:
        watched = self._watched.pop(topic, None)
        if watched is not None:
            watched.close()
            self._shards.ignore(self._keys.news_of(topic))

    def _check(self, topic: str) -> None:
        """Raises `StreamNotFound` unless the id is a topic's."""
        if not is_topic(topic):
            raise no_topic(topic)

    async def _fields(self, topic: str, *fields: str) -> Sequence[bytes | None]:
        self._check(topic)
        key = self._keys.record(topic)
        return await self._shards.read(key, ("HMGET", key, *fields), within=self._brief)

    async def _positions(self, topic: str) -> Positions:
        epochs, tail, first = await self._fields(topic, "epochs", "tail", "first")
        if epochs is None or tail is None or first is None:
            raise no_topic(topic)
        return self._positions_there(topic, epochs, tail, first)

    def _positions_there(self, topic: str, epochs: bytes, tail: bytes, first: bytes) -> Positions:
        """Raises `StreamNotFound` where nobody has published to the topic and this node has not opened it."""
        positions = Positions.of(epochs, tail, first)
        if not positions.tail_offset and topic not in self._known:
            raise no_topic(topic)
        return positions
