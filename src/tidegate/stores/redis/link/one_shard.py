"""Where one server has all keys: the one there is, or the master that Sentinels name."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from redis.exceptions import RedisError

from tidegate.stores.redis.link.connecting import CONNECT_SECONDS, Address, Opened, answer, closed, opened, unopened
from tidegate.stores.redis.link.health import Health
from tidegate.stores.redis.link.lane import Call, Lane, refuse
from tidegate.stores.redis.link.shards import OPEN_SECONDS, Shard, refusals
from tidegate.stores.redis.link.subscription import Listener
from tidegate.stores.redis.script import Command
from tidegate.stores.redis.url import Place

logger = logging.getLogger("tidegate.stores")


class OneShard:
    """The `Shards` where one server has all keys: `find` says which, anew for each connection."""

    publish = "PUBLISH"
    in_order = True

    def __init__(self, place: Place, find: Callable[[], Awaitable[Address]]) -> None:
        self.health = Health()
        self._place = place
        self._find = find
        self._shard = Shard(self._connect, self)

    async def open(self) -> None:
        self._shard.open()
        with refusals(self._place):
            await closed((await self._connect(scripts=False)).connection)
        await self.ask("", ("PING",), within=OPEN_SECONDS)

    def ask(self, key: str, command: Command, *, within: float) -> Future[Any]:
        return self._shard.writes.ask(command, within=within)

    def tell(self, key: str, command: Command) -> None:
        self._shard.writes.tell(command)

    def read(self, key: str, command: Command, *, within: float) -> Future[Any]:
        return self._shard.reads.ask(command, within=within)

    def run_of(self, key: str) -> str:
        return self._shard.writes.run

    def listen(self, channel: str, listener: Listener) -> None:
        self._shard.news.add(channel, listener)

    def ignore(self, channel: str) -> None:
        self._shard.news.remove(channel)

    async def servers(self) -> Sequence[bytes]:
        return [await self.read("", ("INFO",), within=OPEN_SECONDS)]

    async def close(self) -> None:
        await self._shard.close()

    async def _connect(self, *, scripts: bool) -> Opened:
        return await opened(self._place, await self._find(), scripts=scripts)

    # As a `Watch`

    def unheard(self) -> None:
        """Each connection finds its server anew."""

    def up(self, lane: Lane) -> None:
        self.health.up(lane)

    def down(self, lane: Lane, reason: str) -> None:
        self.health.down(lane, reason)

    def moved(self, lane: Lane, call: Call) -> None:
        refuse(call.answer, "this Redis is part of a cluster: use redis+cluster://")


async def first(place: Place) -> Address:
    return place.hosts[0]


async def master(place: Place) -> Address:
    """The master of a service, as the first Sentinel that answers names it. Raises `OSError` where none does."""
    for host in place.hosts:
        connection = unopened(
            msgspec.structs.replace(place, database=0, username="", password="", password_file=""), host
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
                found = await answer(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.service)
        except (RedisError, OSError) as error:
            logger.debug("a Sentinel does not answer: %s", error)
            continue
        finally:
            await closed(connection)
        if found:
            return found[0].decode(), int(found[1])
    raise OSError(f"no Sentinel names a master of {place.service!r}")
