"""Does to Redis, and to the lines between it and the nodes, what the plan says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from .history import Failover, Outage
from .plan import FaultPlan
from .proxy import Line
from .redis_pair import RedisPair
from .world import World

BLIND_SECONDS = 3.5
"""So long a node may take a connection that has vanished for one on which there is nothing to say (`PING_SECONDS` and
`ANSWER_SECONDS` of the store, and another attempt)."""


class RedisFaults:
    """The faults of one run, by kind: `does`. Those of Redis itself come one after the other."""

    def __init__(self, world: World, pair: RedisPair) -> None:
        self._world = world
        self._pair = pair
        self._redis = asyncio.Lock()
        self.does: Mapping[str, Callable[[FaultPlan], Awaitable[None]]] = {
            **{
                kind: self._to_redis(does)
                for kind, does in {
                    "redis_kill": self._kill,
                    "redis_restart": self._restart,
                    "redis_pause_short": self._pause,
                    "redis_pause_long": self._pause,
                    "redis_failover": self._fail_over,
                    "redis_failover_behind": self._fail_over_behind,
                    "redis_split": self._split,
                }.items()
            },
            "partition_cut": self._partition,
            "partition_vanish": self._partition,
            "partition_stall": self._partition,
        }

    async def kill_at_rest(self) -> None:
        """A kill after everything has ended."""
        async with self._silence("redis_kill"):
            await self._pair.kill()
            await self._pair.start()
        self._world.fired("redis_kill_at_rest")

    def _to_redis(self, does: Callable[[FaultPlan], Awaitable[None]]) -> Callable[[FaultPlan], Awaitable[None]]:
        async def do(fault: FaultPlan) -> None:
            async with self._redis:
                self._world.fired(fault.kind)
                await does(fault)
                await self._pair.mend()

        return do

    @asynccontextmanager
    async def _silence(self, kind: str) -> AsyncGenerator[None]:
        """Redis answers nobody, or not everybody."""
        since = self._world.now()
        yield
        outages = [Outage(since, self._world.now(), node, kind) for node in range(self._world.plan.nodes)]
        self._world.history.outages.extend(outages)

    async def _kill(self, fault: FaultPlan) -> None:
        async with self._silence(fault.kind):
            await self._pair.kill()
            await asyncio.sleep(fault.seconds)
            await self._pair.start()

    async def _restart(self, fault: FaultPlan) -> None:
        async with self._silence(fault.kind):
            await self._pair.terminate()
            await asyncio.sleep(fault.seconds)
            await self._pair.start()

    async def _pause(self, fault: FaultPlan) -> None:
        async with self._silence(fault.kind):
            self._pair.master.pause()
            await asyncio.sleep(fault.seconds)
            self._pair.master.resume()

    async def _fail_over(self, fault: FaultPlan) -> None:
        """The master dies, and some time later its replica is there for all."""
        async with self._failover(), self._silence(fault.kind):
            await self._pair.kill()
            await asyncio.sleep(fault.seconds)
            await self._pair.promote()
            await self._pair.change_places()

    async def _fail_over_behind(self, fault: FaultPlan) -> None:
        """The replica is promoted, and until the master dies it acknowledges what the replica never has."""
        async with self._failover(), self._silence(fault.kind):
            await self._pair.promote()
            await asyncio.sleep(fault.seconds)
            await self._pair.change_places()

    async def _split(self, fault: FaultPlan) -> None:
        """The same, but one node after the other comes to the promoted one; the last of them when the other dies."""
        rng = self._world.random(f"split {fault.at}")
        nodes = rng.sample(range(self._world.plan.nodes), self._world.plan.nodes)
        async with self._failover(), self._silence(fault.kind):
            await self._pair.promote()
            for node in nodes:
                await asyncio.sleep(fault.seconds / len(nodes))
                self._pair.repoint(node)
            await self._pair.change_places()

    @asynccontextmanager
    async def _failover(self) -> AsyncGenerator[None]:
        """What is acknowledged before it begins the replica has."""
        since = self._world.now()
        await self._pair.replicated()
        yield
        self._world.history.failovers.append(Failover(since, self._world.now()))

    async def _partition(self, fault: FaultPlan) -> None:
        """The node, and others by a draw, cannot reach Redis."""
        rng = self._world.random(f"partition {fault.at}")
        lines = {
            node: line
            for node, line in enumerate(self._pair.lines)
            if node == fault.node or rng.random() < fault.share / 2
        }
        does = {"partition_cut": Line.refuse, "partition_vanish": Line.swallow, "partition_stall": Line.stall}
        since = self._world.now()
        connections = sum(does[fault.kind](line) for line in lines.values())
        self._world.fired(fault.kind, f"nodes {sorted(lines)}, {connections} connections")
        await asyncio.sleep(fault.seconds)
        for line in lines.values():
            line.mend()
        blind = BLIND_SECONDS if fault.kind == "partition_vanish" else 0.0
        for node in lines:
            self._world.history.outages.append(Outage(since, self._world.now() + blind, node, fault.kind))
