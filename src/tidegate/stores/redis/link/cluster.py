"""A Redis Cluster: which of its masters has a key, also after a failover or when slots have moved."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import RedisError

from tidegate.errors import StoreUnavailable
from tidegate.stores.redis.link.connecting import CONNECT_SECONDS, Address, Opened, answer, closed, opened
from tidegate.stores.redis.link.health import Health
from tidegate.stores.redis.link.lane import BACKOFF_SECONDS, Call, Lane, refuse
from tidegate.stores.redis.link.shards import OPEN_SECONDS, Shard, refusals
from tidegate.stores.redis.link.subscription import Listener
from tidegate.stores.redis.script import Command
from tidegate.stores.redis.url import Place

SLOTS = 16384

SHARDED_SINCE = (7, 0)
"""The version of Redis that has channels of one master (SPUBLISH). Before it each message goes to all masters."""

logger = logging.getLogger("tidegate.stores")


class ClusterShards:
    """The `Shards` of a cluster. Whoever notices that it has changed asks for its slots anew: a lane or a
    subscription that breaks, or a command that belongs to another master."""

    in_order = False

    def __init__(self, place: Place) -> None:
        self.health = Health()
        self.publish = "PUBLISH"
        self._place = place
        self._shards: dict[Address, Shard] = {}
        self._owners: list[Address] = []
        self._listeners: dict[str, Listener] = {}
        self._looking: asyncio.Task[None] | None = None
        self._parted: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                for host in self._place.hosts:
                    with refusals(self._place):
                        if await self._learn(host):
                            return
                await self._look_until_found()
        except TimeoutError:
            raise StoreUnavailable("no member of the cluster answers") from None

    def ask(self, key: str, command: Command, *, within: float) -> Future[Any]:
        if not self._owners:
            return refused()
        slot = key_slot(key.encode())
        return self._at(slot).writes.ask(command, within=within, slot=slot)

    def tell(self, key: str, command: Command) -> None:
        if self._owners:
            slot = key_slot(key.encode())
            self._at(slot).writes.tell(command, slot=slot)

    def read(self, key: str, command: Command, *, within: float) -> Future[Any]:
        if not self._owners:
            return refused()
        slot = key_slot(key.encode())
        return self._at(slot).reads.ask(command, within=within, slot=slot)

    def run_of(self, key: str) -> str:
        return self._at(key_slot(key.encode())).writes.run

    def listen(self, channel: str, listener: Listener) -> None:
        self._listeners[channel] = listener
        if self._owners:
            self._at(key_slot(channel.encode())).news.add(channel, listener)

    def ignore(self, channel: str) -> None:
        if self._listeners.pop(channel, None) is not None and self._owners:
            self._at(key_slot(channel.encode())).news.remove(channel)

    async def servers(self) -> Sequence[bytes]:
        return [await shard.reads.ask(("INFO",), within=OPEN_SECONDS) for shard in tuple(self._shards.values())]

    async def close(self) -> None:
        tasks = [task for task in (self._looking, *self._parted) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(shard.close() for shard in self._shards.values()))
        self._shards.clear()
        self._owners = []
        self._looking = None

    # As a `Watch`

    def unheard(self) -> None:
        # Where readers wait for news, nothing may be asked of the master that has gone.
        self._look()

    def up(self, lane: Lane) -> None:
        self.health.up(lane)

    def down(self, lane: Lane, reason: str) -> None:
        self.health.down(lane, reason)
        self._look()

    def moved(self, lane: Lane, call: Call) -> None:
        # While slots move, either master may send the command to the other one: it is repeated once it is settled.
        asyncio.get_running_loop().call_later(BACKOFF_SECONDS[0], self._again, lane, call)
        self._look()

    def _again(self, lane: Lane, call: Call) -> None:
        shard = self._at(call.slot)
        is_read = any(lane is each.reads for each in self._shards.values())
        (shard.reads if is_read else shard.writes).add(call)

    # The slots

    def _at(self, slot: int) -> Shard:
        return self._shards[self._owners[slot]]

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_until_found())

    async def _look_until_found(self) -> None:
        found = await self._look_once()
        while not found:
            await asyncio.sleep(BACKOFF_SECONDS[-1])
            found = await self._look_once()

    async def _look_once(self) -> bool:
        """Asks one member after the other; whether one knew all slots."""
        for address in dict.fromkeys((*self._shards, *self._place.hosts)):
            try:
                if await self._learn(address):
                    return True
            except (RedisError, OSError) as error:
                self.health.reason = str(error) or type(error).__name__
                logger.debug("%s:%d does not know the cluster's slots: %s", *address, error)
        return False

    async def _learn(self, address: Address) -> bool:
        """Takes the slots as one member knows them, if it knows all of them; whether it did. Raises as `slots_of`."""
        found, version = await slots_of(self._place, address)
        if not all(found):
            return False
        if not self._owners:
            # Whoever publishes and whoever listens have to do it alike, from the first channel on.
            self.publish = "SPUBLISH" if version >= SHARDED_SINCE else "PUBLISH"
        self._change(found)
        return True

    def _change(self, owners: list[Address]) -> None:
        """Moves what waits, and what is listened to, from masters that have lost slots to those that have them now."""
        before, self._owners = self._owners, owners
        for address in set(owners) - set(self._shards):
            self._shards[address] = Shard(_Connecting(self._place, address), self, sharded=self.publish == "SPUBLISH")
        for channel, listener in self._listeners.items():
            slot = key_slot(channel.encode())
            if before and before[slot] == owners[slot]:
                continue
            if before:
                self._shards[before[slot]].news.remove(channel)
            self._at(slot).news.add(channel, listener)
        for address in set(self._shards) - set(owners):
            self._part(self._shards.pop(address))

    def _part(self, shard: Shard) -> None:
        """Leaves a server that is no master any more."""
        for call in shard.writes.give_up():
            self._at(call.slot).writes.add(call)
        for call in shard.reads.give_up():
            self._at(call.slot).reads.add(call)
        for lane in (shard.writes, shard.reads):
            self.health.forget(lane)
        task = asyncio.get_running_loop().create_task(shard.close())
        self._parted.add(task)
        task.add_done_callback(self._parted.discard)


class _Connecting:
    """Connects to one member."""

    def __init__(self, place: Place, address: Address) -> None:
        self._place = place
        self._address = address

    async def __call__(self, *, scripts: bool) -> Opened:
        return await opened(self._place, self._address, scripts=scripts)


def refused() -> Future[Any]:
    """The answer to a command for a cluster that has not been reached yet."""
    answer: Future[Any] = asyncio.get_running_loop().create_future()
    refuse(answer)
    return answer


async def slots_of(place: Place, address: Address) -> tuple[list[Address], tuple[int, int]]:
    """The master of each slot, as one member knows them, and the member's version.

    Raises `RedisError`, `OSError` or `TimeoutError`.
    """
    member = await opened(place, address, scripts=False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            ranges = await answer(member.connection, "CLUSTER", "SLOTS")
    finally:
        await closed(member.connection)
    owners: list[Any] = [None] * SLOTS
    for first, last, (host, port, *_), *_ in ranges:
        # A member that does not know its own address is the one that was asked.
        owners[first : last + 1] = [(host.decode() or address[0], port)] * (last + 1 - first)
    return owners, member.version
