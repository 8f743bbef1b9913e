"""One run: a seed, a server, its clients and faults; at the end the history for the checker."""

from __future__ import annotations

import asyncio
import tempfile
import traceback
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from tidegate.config import load

from . import models, rooms
from .calls import Broken, call, fetch
from .creators import cancel, create
from .expected import describe
from .faults import Faults, look, mend
from .guests import entertain
from .history import Acquired, Event, History, Kept, Outage, Problem, Reading
from .node import Node
from .plan import OwnPlan, Plan, StreamPlan, among, draw, without_ends
from .producers import produce
from .readers import Follower, read
from .server import Server, ServerFailed
from .shared_store import SharedStore
from .visitors import attend
from .world import World

BOUND_SECONDS = 15.0
"""After the last fault everything ends within so long: the longest answer, a lease and a second, a cancel's wait, and
some time for two cores that are shared by many runs."""

DRAIN_SECONDS = 0.4

READ_SECONDS = 5.0
"""For reading a log that has ended; nothing else goes on by then."""

AGAIN_SECONDS = 0.1

TICK_SECONDS = 0.05

STARVED_SECONDS = 0.3
"""A tick that is later than this says that the whole process had to wait."""

LIVE = ("queued", "running")


async def run(seed: int, *, store: str = "sqlite:///chaos.db", nodes: int = 1) -> History:
    """Runs what the seed stands for: on a process of its own, or on so many nodes over one memory store."""
    plan = draw(seed)
    if nodes > 1:
        return await run_nodes(among(nodes, plan), SharedStore())
    return await _run_process(plan if store.startswith("sqlite") else without_ends(plan), store)


async def run_nodes(plan: Plan, shared: SharedStore) -> History:
    """Runs a plan for several nodes over this store, which is closed at the end."""
    async with models.Upstream() as upstream:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(configuration(plan, "memory://", upstream.url))
            file.flush()
            settings = load(Path(file.name), {}, {})
        history = History(plan.seed, plan.lease_seconds)
        try:
            return await _run(plan, [Node(shared, settings) for _ in range(plan.nodes)], history, shared)
        finally:
            shared.close()


async def _run_process(plan: Plan, store: str) -> History:
    history = History(plan.seed, plan.lease_seconds)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        async with models.Upstream() as upstream:
            (folder / "tidegate.toml").write_text(configuration(plan, store, upstream.url))
            server = Server(folder, lambda how: history.problems.append(Problem("server died", "server", how)))
            return await _run(plan, [server], history)


async def _run(
    plan: Plan, nodes: Sequence[Server | Node], history: History, shared: SharedStore | None = None
) -> History:
    world = World(plan, nodes, history)
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        await _Run(world, shared).go()
    except ServerFailed as error:
        world.problem("server", "server", str(error))
    finally:
        await asyncio.gather(*(node.close() for node in nodes))
        await asyncio.gather(*(line.close() for line in world.lines.values()))
    for node in nodes:
        for line in node.unhandled():
            world.problem("unhandled error", "server", line[:400])
    return history


def configuration(plan: Plan, store: str, upstream_url: str) -> str:
    """The server's configuration file."""
    return f"""
[server]
drain_seconds = {DRAIN_SECONDS}
[store]
url = "{store}"
synchronous = "{plan.synchronous}"
lease_seconds = {plan.lease_seconds}
[delivery]
heartbeat_seconds = {plan.heartbeat_seconds}
compression = {str(plan.compression).lower()}
[limits]
requests_per_minute = 1000000
burst = 1000000
concurrent_generations = 1000
readers_per_principal = 1000
connections_per_principal = 0
[observability]
log_format = "json"
{models.configuration(upstream_url)}
"""


class _Run:
    def __init__(self, world: World, shared: SharedStore | None) -> None:
        self._world = world
        self._shared = shared
        self._plan = world.plan
        self._clients: list[asyncio.Task[None]] = []

    async def go(self) -> None:
        world = self._world
        watching = asyncio.create_task(self._watch_the_time())
        try:
            await self._go(world)
        finally:
            watching.cancel()

    async def _go(self, world: World) -> None:
        self._start_clients()
        faults = Faults(world)
        try:
            await faults.run()
        except ServerFailed:
            await self._give_up()
            raise
        mend(world, world.lines.values())
        world.history.mended_at = world.now()
        await self._settle()
        await self._close()

    async def _watch_the_time(self) -> None:
        """Nodes that share our interpreter do nothing either while the machine has no time for us."""
        while self._shared is not None:
            since = self._world.now()
            await asyncio.sleep(TICK_SECONDS)
            if (now := self._world.now()) - since > STARVED_SECONDS:
                outages = [Outage(since, now, node, "starved") for node in range(self._plan.nodes)]
                self._world.history.outages.extend(outages)

    def _start_clients(self) -> None:
        for plan in self._plan.generations:
            self._client(f"creator of {plan.name}", create(self._world, plan))
            self._company(plan)
        for plan in self._plan.own:
            self._client(f"producer of {plan.name}", produce(self._world, plan))
            self._company(plan)
        for plan in self._plan.attended:
            self._client(f"visitors of {plan.name}", attend(self._world, plan))
        for plan in self._plan.guests:
            self._client(f"guests of {plan.name}", entertain(self._world, plan))
        for plan in self._plan.rooms:
            self._client(f"members of {plan.name}", rooms.meet(self._world, plan))

    def _company(self, plan: StreamPlan | OwnPlan) -> None:
        if plan.cancel_at is not None:
            self._client(f"canceller of {plan.name}", cancel(self._world, plan))
        for index, reader in enumerate(plan.readers):
            name = f"{plan.name}.r{index}"
            self._client(f"reader {name}", read(self._world, reader, plan.name, name))

    def _client(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._clients.append(asyncio.create_task(work, name=name))

    async def _settle(self) -> None:
        """Everybody comes to an end."""
        _, waiting = await asyncio.wait(self._clients, timeout=BOUND_SECONDS)
        for client in waiting:
            self._world.problem("hang", client.get_name(), f"not done {BOUND_SECONDS:g} s after the last fault")
        await self._give_up()

    async def _give_up(self) -> None:
        self._world.over = True
        for client in self._clients:
            client.cancel()
        for client, result in zip(
            self._clients, await asyncio.gather(*self._clients, return_exceptions=True), strict=True
        ):
            if isinstance(result, Exception):
                what = "".join(traceback.format_exception(result))[-1500:]
                self._world.problem("harness", client.get_name(), what)

    async def _close(self) -> None:
        """Reads every log, asks again with every last cursor, and once more after a kill where that is planned."""
        world = self._world
        names = await self._list()
        await asyncio.gather(
            *(self._ended(stream) for stream in names), *(rooms.close(world, plan) for plan in self._plan.rooms)
        )
        await asyncio.gather(*(self._read_log(stream) for stream in names))
        await asyncio.gather(*(self._ask_again(reading) for reading in world.history.readings))
        if self._plan.kill_at_rest:
            since, node = world.now(), world.nodes[0]
            await node.kill()
            await node.start()
            world.history.outages.append(Outage(since, world.now(), kind="kill"))
            world.fired("kill_at_rest")
            await asyncio.gather(*(self._read_log(stream) for stream in names))
            await asyncio.gather(*(look(world, stream, "after all", patience=READ_SECONDS) for stream in names))
        ended: dict[str, float] = {}
        if self._shared is not None:
            ended = {stream: world.since_begin(at) for stream, at in self._shared.ended.items()}
            world.history.acquired = [Acquired(stream, world.since_begin(at)) for stream, at in self._shared.acquired]
        describe(world.history, self._plan, names, ended)

    async def _list(self) -> dict[str, str]:
        """The plan's names by the ids of the streams, of those too whose creator was never told."""
        world = self._world
        found: dict[str, str] = {}
        before, more = "", True
        while more:
            url = f"{world.server.url}/v1/streams?limit=100{before and f'&before={before}'}"
            status, _, page = await fetch(url, patience=READ_SECONDS)
            if status != 200:
                raise ServerFailed(f"the list of streams was answered {status}: {page}")
            for summary in page["data"]:
                found[summary["id"]] = summary["metadata"].get("name", "")
                world.look(summary["id"], "list", summary)
            before, more = page["data"][-1]["id"] if page["data"] else "", page["has_more"]
        for stream in world.known():
            if stream not in found:
                world.problem("lost stream", stream, "is not in the list")
        return found

    async def _ended(self, stream: str) -> None:
        """Streams that nobody followed end, too."""
        try:
            async with asyncio.timeout(BOUND_SECONDS):
                status = "running"
                while status in LIVE:
                    await asyncio.sleep(AGAIN_SECONDS)
                    status = await look(self._world, stream, "closing look", patience=READ_SECONDS)
        except TimeoutError:
            self._world.problem("hang", stream, f"has no end {BOUND_SECONDS:g} s after the last fault")

    async def _read_log(self, stream: str) -> None:
        reading = Reading("the harness", stream)
        try:
            async with asyncio.timeout(READ_SECONDS):
                await Follower(self._world, lambda: self._world.server.url, reading).once(patience=READ_SECONDS)
        except (Broken, TimeoutError) as error:
            self._world.problem("log", stream, f"could not be read to its end: {error!r}")
        if reading.refused is not None:
            self._world.problem("lost stream", stream, f"its log was answered {reading.refused}")
        events = [Event(event.type, event.data, event.id) for event in reading.events]
        self._world.history.logs.append(Kept(stream, events, self._world.now()))

    async def _ask_again(self, reading: Reading) -> None:
        if reading.ended and reading.events:
            last = {"last-event-id": reading.events[-1].id}
            url = f"{self._world.server.url}/v1/streams/{reading.stream}/events"
            try:
                async with call(url, headers=last, patience=READ_SECONDS) as answer:
                    reading.asked_again = answer.status
            except Broken as error:
                self._world.problem("hang", reading.name, f"no answer with its last cursor: {error}")
