"""Nodes over one Redis, their readers of a topic, and a Redis that loses what it has acknowledged."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Sequence
from pathlib import Path

import msgspec
from clock_kit import Clock
from redis_kit import RedisServer
from redis_store_kit import SETTINGS

from tidegate.core.cursor import Cursor
from tidegate.core.events import Published
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.core.topic import topic_id
from tidegate.errors import StreamNotFound
from tidegate.stores.records import Found
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import Call, Lane
from tidegate.stores.redis.store import RedisStore
from tidegate.stores.redis.url import parse

ROOM = topic_id("room")


class Nodes:
    """Nodes over one Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.opened: list[RedisStore] = []

    async def add(self, *, each: int = 0, history: int = 1000, brief: float = 2.0) -> RedisStore:
        settings = msgspec.structs.replace(
            SETTINGS, prefix="t", max_stored_bytes_each=each, topic_history=history, brief_seconds=brief
        )
        node = RedisStore(parse(self.server.url), settings, now=Clock(1000.0))
        await node.open()
        self.opened.append(node)
        return node

    def charged(self, account: str) -> int:
        """How many bytes the account is charged for."""
        with self.server.client() as client:
            return int(client.hget(Keys("t").charges_of(account), "sum") or 0)

    def listeners(self) -> int:
        """How many nodes listen to the topic."""
        with self.server.client() as client:
            return client.pubsub_numsub(Keys("t").news_of(ROOM))[0][1]

    async def close(self) -> None:
        for node in self.opened:
            await node.close()


def event(data: object, *, sender: str = "anna", at: float = 1000.0, state: bool = False) -> Published:
    return Published(data=msgspec.Raw(msgspec.json.encode(data)), sender=sender, at=at, state=state)


async def read(node: RedisStore, after: Cursor | None, *, topic: str = ROOM) -> list[object] | Gap:
    answer = node.read(topic, after, limit=512, max_bytes=1 << 16)
    found: Found = await answer if isinstance(answer, Future) else answer
    if isinstance(found, Gap):
        return found
    return [data_of(entry) for entry in found.entries]


def data_of(entry: Entry) -> object:
    event = entry.event
    assert isinstance(event, Published)
    return msgspec.json.decode(event.data)


async def exists(node: RedisStore, topic: str) -> bool:
    """Whether somebody has published to the topic."""
    try:
        return (await node.topic(topic)).published_at is not None
    except StreamNotFound:
        return False


class Reader:
    """Reads a topic at one node as readers do: whenever it is woken, from where it is."""

    def __init__(self, node: RedisStore, after: Cursor) -> None:
        self.node = node
        self.at = after
        self.seen: list[object] = []
        self.gaps: list[Gap] = []
        self._woken = asyncio.Event()
        self._woken.set()
        self.unwatch = node.watch(ROOM, self._woken.set)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while await self._take():
                pass

    async def _take(self) -> bool:
        answer = self.node.read(ROOM, self.at, limit=512, max_bytes=1 << 16)
        found = await answer if isinstance(answer, Future) else answer
        if isinstance(found, Gap):
            self.gaps.append(found)
            self.at = found.to
            return True
        self.at = found.after
        self.seen += map(data_of, found.entries)
        return bool(found.entries)

    async def close(self) -> None:
        self.unwatch()
        self._task.cancel()
        await asyncio.wait((self._task,))


class Losing:
    """A server that loses what it has acknowledged, as a failover to a replica that was behind does."""

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder / "server")
        self.replica = RedisServer(folder / "replica")

    def start(self) -> None:
        self.server.start()
        self.replica.start()

    def remember(self) -> None:
        """What comes after this is lost by `lose`."""
        self.replica.replica_of(self.server)
        self.replica.promote()

    def lose(self) -> None:
        self.server.replica_of(self.replica)
        self.server.promote()

    def kill(self) -> None:
        self.server.kill()
        self.replica.kill()


def commands_of(lane: Lane) -> Sequence[Call]:
    """The commands that a lane is asked to carry from now on."""
    found: list[Call] = []
    add = lane.add

    def added(call: Call) -> None:
        found.append(call)
        add(call)

    lane.add = added  # type: ignore[method-assign]
    return found
