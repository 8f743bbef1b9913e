"""Topics: who publishes to them and follows them at every node, and who is said to be there."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .calls import Broken, fetch
from .history import Published, Reading
from .plan import RoomPlan
from .readers import PATIENCE, Follower
from .world import World

AGAIN_SECONDS = 0.05

READ_SECONDS = 0.3


async def meet(world: World, plan: RoomPlan) -> None:
    """Has all messages published, and all members come and go."""
    await asyncio.gather(_publish(world, plan), *(_attend(world, plan, number) for number in range(len(plan.members))))


async def close(world: World, plan: RoomPlan) -> None:
    """Reads the topic from its beginning, and sees whether each node knows who is there, and that nobody is then."""
    whole = Reading("the harness", plan.name)
    world.history.rooms.append(whole)
    readings = [whole, *(Reading(f"the harness {number}", plan.name) for number in range(1, len(world.nodes)))]
    followers = [
        asyncio.create_task(_follower(world, plan, reading, number).once(patience=PATIENCE))
        for number, reading in enumerate(readings)
    ]
    await _present(world, plan, len(followers))
    await asyncio.sleep(READ_SECONDS)
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    await _present(world, plan, 0)


async def _publish(world: World, plan: RoomPlan) -> None:
    line = await world.line(f"{plan.name} publisher")
    for number, pause in enumerate(plan.pauses):
        await asyncio.sleep(pause)
        key = {"idempotency-key": f"{world.plan.seed}-{plan.name}-{number}"}
        while not world.over:
            with suppress(Broken):
                url = f"{line.url}/v1/topics/{plan.name}/messages"
                status, _, answer = await fetch(url, "POST", {"data": number}, key, patience=PATIENCE)
                world.judge_status(plan.name, status, answer)
                if status == 200:
                    world.history.published.append(Published(plan.name, number, answer["cursor"], world.now()))
                    break
            await asyncio.sleep(AGAIN_SECONDS)


async def _attend(world: World, plan: RoomPlan, number: int) -> None:
    """A member, from when it comes until it leaves for good."""
    visit = plan.members[number]
    await asyncio.sleep(visit.at)
    reading = Reading(f"{plan.name}.m{number}", plan.name)
    world.history.members.append(reading)
    with suppress(TimeoutError):
        async with asyncio.timeout(visit.seconds):
            await _follower(world, plan, reading, visit.node).follow()


def _follower(world: World, plan: RoomPlan, reading: Reading, wanted: int) -> Follower:
    rng = world.random(f"{reading.name} of {plan.name}")
    path = f"/v1/topics/{plan.name}/events"
    return Follower(world, lambda: world.nodes[world.ready_node(rng, wanted)].url, reading, path=path)


async def _present(world: World, plan: RoomPlan, connections: int) -> None:
    """All nodes come to say so many within a lease and a second; then the parts of those that are gone are, too."""
    expected = [{"principal": "anonymous", "connections": connections}] if connections else []
    found: list[object] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(world.plan.lease_seconds + 1):
            while not found or any(each != expected for each in found):
                await asyncio.sleep(AGAIN_SECONDS)
                found = [await _said(node.url, plan) for node in world.nodes]
            return
    world.problem("wrong presence", plan.name, f"there are {connections}, and the nodes say {found}")


async def _said(url: str, plan: RoomPlan) -> object:
    """What one node says of who is there; None where it says nothing."""
    try:
        return (await fetch(f"{url}/v1/topics/{plan.name}/presence", patience=PATIENCE))[2]
    except Broken:
        return None
