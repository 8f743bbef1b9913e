"""Does to the server and to the lines what the plan says, when it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .calls import Broken, fetch
from .forks import ServerFailed
from .history import Death, Outage
from .node import Node
from .plan import FaultPlan
from .proxy import Line
from .server import UNLIMITED, Server
from .world import World

if TYPE_CHECKING:
    from .redis_faults import RedisFaults

LOOK_PATIENCE = 0.5


class Faults:
    """The faults of a run. Those that end a process come one after the other."""

    def __init__(self, world: World, redis: RedisFaults | None = None) -> None:
        self._world = world
        self._process = asyncio.Lock()
        self._to_redis = redis.does if redis is not None else {}

    async def run(self) -> None:
        """All of them; raises `ServerFailed` where the server does not come back."""
        failures: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                for index, fault in enumerate(self._world.plan.faults):
                    group.create_task(self._at_its_time(index, fault))
        except* ServerFailed as failed:
            failures.extend(failed.exceptions)
        if failures:
            raise failures[0]

    async def _at_its_time(self, index: int, fault: FaultPlan) -> None:
        await asyncio.sleep(fault.at)
        if fault.kind.startswith("line_"):
            await self._lines(index, fault)
        elif fault.kind in self._to_redis:
            await self._to_redis[fault.kind](fault)
        elif fault.kind == "disk_full":
            await self._disk_full(fault)
        elif fault.kind == "clock_jump":
            await self._clock_jump(fault)
        else:
            async with self._process:
                await {
                    "kill": self._kill,
                    "kill_twice": self._kill_twice,
                    "pause_short": self._pause,
                    "pause_long": self._pause,
                    "drain": self._drain,
                    "rolling_restart": self._rolling_restart,
                }[fault.kind](fault)

    async def _kill(self, fault: FaultPlan) -> None:
        await self._look_at_all()
        node = self._world.nodes[fault.node]
        since = self._world.now()
        if isinstance(node, Node):
            self._world.history.deaths.append(Death(fault.node, since, node.filled))
        await node.kill()
        self._world.fired(fault.kind)
        await asyncio.sleep(fault.seconds)
        await node.start()
        self._outage(since, fault)

    async def _kill_twice(self, fault: FaultPlan) -> None:
        """The second time while it starts, or recovers."""
        server = self._only
        await self._look_at_all()
        since = self._world.now()
        await server.kill()
        await server.spawn()
        await asyncio.sleep(fault.seconds)
        await server.kill()
        self._world.fired(fault.kind)
        await server.start()
        self._outage(since, fault)

    async def _pause(self, fault: FaultPlan) -> None:
        node = self._world.nodes[fault.node]
        since = self._world.now()
        node.stop()
        self._world.fired(fault.kind)
        await asyncio.sleep(fault.seconds)
        node.go_on()
        self._outage(since, fault)

    async def _drain(self, fault: FaultPlan) -> None:
        self._world.fired(fault.kind)
        await self._redeploy(fault, fault.node)

    async def _rolling_restart(self, fault: FaultPlan) -> None:
        """All nodes, one after the other."""
        self._world.fired(fault.kind)
        for node in range(len(self._world.nodes)):
            await self._redeploy(fault, node)

    async def _redeploy(self, fault: FaultPlan, node: int) -> None:
        server = self._world.nodes[node]
        await self._look_at_all()
        since = self._world.now()
        code = await server.leave()
        if code != 0:
            self._world.problem("drain", "server", f"exit code {code}: {server.tail()}")
        await asyncio.sleep(fault.seconds)
        await server.start()
        self._world.history.outages.append(Outage(since, self._world.now(), node, "drain"))

    async def _disk_full(self, fault: FaultPlan) -> None:
        since = self._world.now()
        if not self._only.limit_files(int(fault.amount)):
            return
        self._world.fired(fault.kind, f"at {fault.amount:g} bytes")
        await asyncio.sleep(fault.seconds)
        self._only.limit_files(UNLIMITED)
        self._outage(since, fault)

    async def _clock_jump(self, fault: FaultPlan) -> None:
        self._only.shift(fault.amount)
        self._world.fired(fault.kind, f"by {fault.amount:g} s")
        await asyncio.sleep(fault.seconds)
        self._only.shift(0.0)

    @property
    def _only(self) -> Server:
        """The process; nodes that share one have none of their own."""
        (server,) = self._world.nodes
        assert isinstance(server, Server)
        return server

    async def _lines(self, index: int, fault: FaultPlan) -> None:
        lines = self._drawn(index, fault)
        faults: dict[str, Callable[[Line], int]] = {
            "line_cut": Line.cut,
            "line_finish": Line.finish,
            "line_vanish": Line.vanish,
            "line_stall": Line.stall,
            "line_delay": lambda line: line.delay(fault.amount),
            "line_shred": lambda line: line.shred(int(fault.amount)),
            "line_refuse": Line.refuse,
        }
        if connections := sum(faults[fault.kind](line) for line in lines):
            self._world.fired(fault.kind, f"{connections} connections of {len(lines)} lines")
        await asyncio.sleep(fault.seconds)
        for line in lines:
            line.mend()

    def _drawn(self, index: int, fault: FaultPlan) -> list[Line]:
        # Each line by a draw of its own: which lines there are by then is a matter of time.
        return [
            line
            for name, line in self._world.lines.items()
            if self._world.random(f"fault {index} {name}").random() < fault.share
        ]

    def _outage(self, since: float, fault: FaultPlan) -> None:
        self._world.history.outages.append(Outage(since, self._world.now(), fault.node, fault.kind))

    async def _look_at_all(self) -> None:
        """What is acknowledged right before the server is killed."""
        await asyncio.gather(*(look(self._world, stream, "before a kill") for stream in self._world.known()))


async def look(world: World, stream: str, source: str, *, patience: float = LOOK_PATIENCE) -> str | None:
    """Looks at a stream past all lines, and notes what is seen: its status, None where there was no answer."""
    server = world.server
    if server.port is None:
        return None
    try:
        status, _, body = await fetch(f"{server.url}/v1/streams/{stream}", patience=patience)
    except Broken:
        return None
    world.judge_status(f"look at {stream}", status, body)
    if status == 200:
        world.look(stream, source, body)
        return body["status"]
    if status in (404, 410):
        world.problem("lost stream", stream, f"{source}: answered {status}")
    return None


def mend(world: World, lines: Iterable[Line]) -> None:
    """Whatever is still wrong is over."""
    for line in lines:
        line.mend()
    for node in world.nodes:
        if isinstance(node, Server):
            node.limit_files(UNLIMITED)
            node.shift(0.0)
