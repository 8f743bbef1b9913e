"""One rolling update under load, from the first pod to the last reader."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from continuing_upstream import Upstream
from endpoints import Service
from eventually_kit import eventually
from live_streams import Streams
from pods import Deployment
from update_plan import Plan, config
from update_report import Outcome

BEGIN_SECONDS = 120.0
"""Until all streams are live: many readers attach at once, on two cores that other tests use, too."""

LIVE_SHARE = 0.95
"""So many of the readers have something of a live stream when the update begins: those of the others are about to."""

TICK_SECONDS = 0.05


class Lateness:
    """How late this process was at the most: what servers wait for on a machine that is busy, it waits for, too."""

    def __init__(self) -> None:
        self.most = 0.0

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.most = max(self.most, loop.time() - due)


async def update(plan: Plan, redis: str, folder: Path) -> Outcome:
    """Starts pods and streams, replaces all pods, and reads every stream to its end."""
    loop, service, lateness = asyncio.get_running_loop(), Service(Random(0)), Lateness()
    async with Upstream(plan) as upstream:
        deployment = Deployment(plan, service, folder, config(plan, redis, upstream.url))
        try:
            await deployment.start()
            streams = Streams(plan, service)
            async with asyncio.TaskGroup() as clients:
                clients.create_task(streams.run())
                await eventually(lambda: streams.live >= LIVE_SHARE * plan.streams * plan.readers, within=BEGIN_SECONDS)
                since, watching = loop.time(), clients.create_task(lateness.watch())
                await deployment.update()
                seconds = loop.time() - since
                watching.cancel()
                streams.is_over = True
        finally:
            await deployment.stop()
    old = [(pod.name, pod.drained, pod.code) for pod in deployment.pods if pod.code is not None]
    failed = [f"{name} ended with exit code {code}" for name, _, code in old if code]
    return Outcome(
        problems=[*streams.problems, *failed],
        waits=[reading.longest for reading in streams.readings],
        streams=streams.ended,
        refused=streams.refused,
        reconnects=sum(reading.connections - 1 for reading in streams.readings),
        seconds=seconds,
        pods=old,
        late=lateness.most,
    )
