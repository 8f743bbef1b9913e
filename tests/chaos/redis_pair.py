"""A Redis that keeps all that it acknowledges, its replica, and a line from each node to whichever is the master.

The calls of the kit block, so they are made beside the loop, which carries the lines; but for those that start a
process: it would die with the thread that has started it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from redis_kit import DURABLE, RedisServer

from .proxy import Line


class RedisPair:
    """`lines` are those of the nodes, which lose their connections when they are led to another server."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.master, self.replica = (RedisServer(folder / name, DURABLE) for name in ("one", "other"))
        self._at = [self.master] * nodes
        self.lines = [Line(self._port_of(node)) for node in range(nodes)]

    @property
    def urls(self) -> Sequence[str]:
        """What each node knows Redis by."""
        return [f"redis://127.0.0.1:{line.port}/0" for line in self.lines]

    async def open(self) -> None:
        for server in (self.master, self.replica):
            server.spawn()
        await asyncio.to_thread(self._begin)
        for line in self.lines:
            await line.open()

    async def close(self) -> None:
        for server in (self.master, self.replica):
            server.kill()
        await asyncio.gather(*(line.close() for line in self.lines))

    async def kill(self) -> None:
        await asyncio.to_thread(self.master.kill)

    async def terminate(self) -> None:
        await asyncio.to_thread(self.master.terminate)

    async def start(self) -> None:
        """Starts a master that was killed or terminated."""
        self.master.spawn()
        await asyncio.to_thread(self.master.ready)

    async def replicated(self) -> None:
        """What has been acknowledged so far the replica has."""
        await asyncio.to_thread(self.master.replicate)

    async def promote(self) -> None:
        """The replica becomes a master, too. Nodes are still where they were."""
        await asyncio.to_thread(self.replica.promote)

    def repoint(self, node: int) -> None:
        """The node finds the promoted replica from now on."""
        self._at[node] = self.replica
        self.lines[node].cut()

    async def change_places(self) -> None:
        """The master is killed, and the promoted replica is there for all nodes."""
        await self.kill()
        self.master, self.replica = self.replica, self.master
        for node, at in enumerate(self._at):
            if at is not self.master:
                self._at[node] = self.master
                self.lines[node].cut()

    async def mend(self) -> None:
        """The replica has all that the master has, and follows it; that of a new master forgets what it had besides."""
        if not self.replica.is_running:
            self.replica.spawn()
        await asyncio.to_thread(self._join)

    def _begin(self) -> None:
        self.master.ready()
        self._join()

    def _join(self) -> None:
        self.replica.ready()
        self.replica.replica_of(self.master)

    def _port_of(self, node: int) -> Callable[[], int]:
        return lambda: self._at[node].port
