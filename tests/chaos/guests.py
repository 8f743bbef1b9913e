"""Streams that are shared and unshared, or deleted, while somebody reads them at every node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from .calls import Broken, fetch
from .history import Reading, Revoked
from .plan import GuestPlan
from .readers import PATIENCE, Follower
from .world import World

AGAIN_SECONDS = 0.05


async def entertain(world: World, plan: GuestPlan) -> None:
    """Starts the plan's stream and has it read at every node, until it is revoked or deleted."""
    await asyncio.sleep(plan.at)
    stream = await _start(world, plan)
    if stream is None:
        return
    token = ""
    if not plan.deleted:
        world.created(plan.name, f"key-{world.plan.seed}-{plan.name}", stream)
        answer = await _certainly(world, plan.name, "POST", f"/v1/streams/{stream}/share", (200,))
        token = answer.get("token", "")
    guests = [
        asyncio.create_task(_read(world, f"{plan.name}.g{number}", stream, token, number))
        for number in range(world.plan.nodes)
    ]
    try:
        await asyncio.sleep(plan.until)
        await (_delete(world, stream) if plan.deleted else _revoke(world, stream))
        await asyncio.wait(guests)
    finally:
        for guest in guests:
            guest.cancel()


async def _start(world: World, plan: GuestPlan) -> str | None:
    body = {
        "model": plan.model,
        "prompt": plan.how.prompt(),
        "metadata": {"name": plan.name},
        "background": True,
        "max_tokens": plan.how.tokens,
    }
    key = {"idempotency-key": f"key-{world.plan.seed}-{plan.name}"}
    answer = await _certainly(world, plan.name, "POST", "/v1/streams", (202,), body, key)
    return answer.get("id")


async def _revoke(world: World, stream: str) -> None:
    world.fired("revoke")
    await _certainly(world, stream, "DELETE", f"/v1/streams/{stream}/share", (204,))
    world.history.revoked.append(Revoked(stream, world.now()))


async def _delete(world: World, stream: str) -> None:
    """Where the first answer was lost, the stream is gone the next time. Then no node has it, unless Redis may lose
    that, too; one that cannot reach Redis says so."""
    world.fired("delete")
    await _certainly(world, stream, "DELETE", f"/v1/streams/{stream}", (204, 404))
    for number, node in enumerate(world.nodes):
        if node.port is not None and not world.plan.may_lose:
            with suppress(Broken):
                status, _, _ = await fetch(f"{node.url}/v1/streams/{stream}", patience=PATIENCE)
                if status not in (404, 503):
                    world.problem("undeleted", stream, f"node {number} has answered {status}")


async def _certainly(
    world: World,
    subject: str,
    method: str,
    path: str,
    statuses: Iterable[int],
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """Asks one node or another until one has answered with one of these statuses: its body."""
    while not world.over:
        with suppress(Broken):
            status, _, answer = await fetch(f"{world.server.url}{path}", method, body, headers, patience=PATIENCE)
            world.judge_status(subject, status, answer)
            if status in statuses:
                return answer or {}
            if status == 404 and world.plan.may_lose:
                break
            if status not in (429, 502, 503, 504):
                world.problem("refused", subject, f"{method} {path} was answered {status}: {str(answer)[:300]}")
                break
        await asyncio.sleep(AGAIN_SECONDS)
    return {}


async def _read(world: World, name: str, stream: str, token: str, wanted: int) -> None:
    """A reader at one node as long as that lives, else at another."""
    rng = world.random(name)
    reading = Reading(name, stream)
    world.history.visits.append(reading)
    at = wanted

    def base() -> str:
        nonlocal at
        at = world.ready_node(rng, wanted)
        return world.nodes[at].url

    await Follower(world, base, reading, node=lambda: at, token=token).follow()
