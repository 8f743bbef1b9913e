"""Owner readers that come and go by turns, at nodes of their own choice: refreshes that a balancer sends elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .calls import Broken, fetch
from .history import Reading
from .plan import AttendedPlan, VisitPlan
from .readers import PATIENCE, Follower
from .world import World

AGAIN_SECONDS = 0.02

CREATE_PATIENCE = 1.5


async def attend(world: World, plan: AttendedPlan) -> None:
    """Starts the plan's stream in the background, and has all its visits paid."""
    await asyncio.sleep(plan.at)
    stream = await _start(world, plan)
    if stream is not None:
        begun = world.now()
        await asyncio.gather(*(_visit(world, plan, stream, number, begun) for number, visit in enumerate(plan.visits)))


async def _start(world: World, plan: AttendedPlan) -> str | None:
    body = {
        "model": plan.model,
        "prompt": plan.how.prompt(),
        "metadata": {"name": plan.name},
        "background": True,
        "max_tokens": plan.how.tokens,
        "on_disconnect": {"grace_seconds": plan.grace} if plan.grace else "cancel",
    }
    key = f"key-{world.plan.seed}-{plan.name}"
    while not world.over:
        with suppress(Broken):
            url = f"{world.server.url}/v1/streams"
            status, _, answer = await fetch(url, "POST", body, {"idempotency-key": key}, patience=CREATE_PATIENCE)
            if status == 202:
                world.created(plan.name, key, answer["id"])
                return answer["id"]
            world.judge_status(plan.name, status, answer)
        await asyncio.sleep(AGAIN_SECONDS)
    return None


async def _visit(world: World, plan: AttendedPlan, stream: str, number: int, begun: float) -> None:
    """One visit. Whose node is gone goes on at another, as long as the visit lasts."""
    visit = plan.visits[number]
    await asyncio.sleep(begun + visit.at - world.now())
    place = _Place(world, visit, f"{plan.name} visit {number}")
    reading = Reading(f"{plan.name}.v{number}", stream)
    follower = Follower(world, place.url, reading, node=lambda: place.node)
    with suppress(TimeoutError):
        async with asyncio.timeout(visit.seconds):
            while not (reading.ended or reading.refused or world.over):
                with suppress(Broken):
                    await follower.once(patience=PATIENCE)
                await asyncio.sleep(AGAIN_SECONDS)
    world.history.visits.append(reading)


class _Place:
    """Where a visit is paid."""

    def __init__(self, world: World, visit: VisitPlan, name: str) -> None:
        self.node = visit.node
        self._world = world
        self._wanted = visit.node
        self._rng = world.random(name)

    def url(self) -> str:
        self.node = self._world.ready_node(self._rng, self._wanted)
        return self._world.nodes[self.node].url
