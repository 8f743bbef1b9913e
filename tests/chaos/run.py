"""One run as it goes on: clients and faults at once, an end for everybody, and a last look at everything."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from . import rooms
from .calls import Broken, call, fetch
from .creators import cancel, create
from .expected import describe
from .faults import Faults, look, mend
from .forks import ServerFailed
from .guests import entertain
from .history import Acquired, Event, Kept, Outage, Reading
from .plan import OwnPlan, StreamPlan
from .producers import produce
from .readers import Follower, read
from .shared_store import SharedStore
from .visitors import attend
from .world import World

if TYPE_CHECKING:
    from .redis_faults import RedisFaults

BOUND_SECONDS = 15.0
"""After the last fault everything ends within so long: the longest answer, a lease and a second, a cancel's wait, and
some time for two cores that are shared by many runs."""

READ_SECONDS = 5.0
"""For reading a log that has ended; nothing else goes on by then."""

AGAIN_SECONDS = 0.1

TICK_SECONDS = 0.05

STARVED_SECONDS = 0.3
"""A tick that is later than this says that the whole process, or the machine, had to wait."""

LIVE = ("queued", "running")


class Run:
    """A run on nodes that are ready, over a memory store that they share, or over a Redis to which harm is done."""

    def __init__(self, world: World, shared: SharedStore | None = None, redis: RedisFaults | None = None) -> None:
        self._world = world
        self._shared = shared
        self._redis = redis
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
        faults = Faults(world, self._redis)
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
        """Nodes that share our interpreter do nothing either while the machine has no time for us; nor may others."""
        while True:
            since = self._world.now()
            await asyncio.sleep(TICK_SECONDS)
            if (now := self._world.now()) - since > STARVED_SECONDS:
                self._world.fired("starved")
                if self._plan.nodes > 1:
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
        await asyncio.gather(*(read_log(world, stream) for stream in names))
        await asyncio.gather(*(self._ask_again(reading) for reading in world.history.readings))
        if self._plan.kill_at_rest:
            await self._kill_at_rest()
            await asyncio.gather(*(read_log(world, stream) for stream in names))
            await asyncio.gather(*(look(world, stream, "after all", patience=READ_SECONDS) for stream in names))
        describe(world.history, self._plan, names, self._ends())

    async def _kill_at_rest(self) -> None:
        """The store comes back with all that it had: by itself, or with its process."""
        if self._redis is not None:
            await self._redis.kill_at_rest()
            return
        since, node = self._world.now(), self._world.nodes[0]
        await node.kill()
        await node.start()
        self._world.history.outages.append(Outage(since, self._world.now(), kind="kill"))
        self._world.fired("kill_at_rest")

    def _ends(self) -> Mapping[str, float]:
        """When the store had the ends of streams, where that is known; who took streams over goes into the history."""
        world = self._world
        if self._shared is None:
            return world.ended if self._redis is not None else {}
        world.history.acquired = [Acquired(stream, world.since_begin(at)) for stream, at in self._shared.acquired]
        return {stream: world.since_begin(at) for stream, at in self._shared.ended.items()}

    async def _list(self) -> dict[str, str]:
        """The plan's names by the ids of the streams, of those too whose creator was never told."""
        world = self._world
        found: dict[str, str] = {}
        before, more = "", True
        while more:
            url = f"{world.server.url}/v1/streams?limit=100{before and f'&before={before}'}"
            try:
                status, _, page = await fetch(url, patience=READ_SECONDS)
            except Broken as error:
                raise ServerFailed(f"the list of streams was not answered: {error}") from error
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

    async def _ask_again(self, reading: Reading) -> None:
        if reading.ended and reading.events:
            last = {"last-event-id": reading.events[-1].id}
            url = f"{self._world.server.url}/v1/streams/{reading.stream}/events"
            try:
                async with call(url, headers=last, patience=READ_SECONDS) as answer:
                    reading.asked_again = answer.status
            except Broken as error:
                self._world.problem("hang", reading.name, f"no answer with its last cursor: {error}")


async def read_log(world: World, stream: str) -> None:
    """Reads a log from its beginning to its end, which is there, and notes it. Like any client it comes back when it is
    told to: a node may still find its way to a Redis that has just started."""
    reading = Reading("the harness", stream)
    follower = Follower(world, lambda: world.server.url, reading)
    try:
        async with asyncio.timeout(READ_SECONDS):
            await follower.once(patience=READ_SECONDS)
            while not (reading.ended or reading.refused):
                await asyncio.sleep(AGAIN_SECONDS)
                await follower.once(patience=READ_SECONDS)
    except (Broken, TimeoutError) as error:
        world.problem("log", stream, f"could not be read to its end: {error!r}")
    if reading.refused is not None:
        world.problem("lost stream", stream, f"its log was answered {reading.refused}")
    events = [Event(event.type, event.data, event.id) for event in reading.events]
    world.history.logs.append(Kept(stream, events, world.now()))
