"""What a run is made on: a process, nodes over one memory store, or nodes over one Redis."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tidegate.config import load

from . import models
from .draws import among, draw, over_redis, without_ends
from .forks import ServerFailed
from .history import History, Problem
from .node import Node
from .plan import Plan
from .run import Run
from .server import Server
from .shared_store import SharedStore
from .world import World

DRAIN_SECONDS = 0.4

REDIS = "redis"
"""The store of a run that starts a Redis of its own."""


def plan_of(seed: int, store: str, nodes: int) -> Plan:
    """What the seed stands for: on so many processes over a Redis, on so many nodes in this process over one memory
    store, or on one process."""
    plan = draw(seed)
    if store == REDIS:
        return over_redis(nodes, plan)
    if nodes > 1:
        return among(nodes, plan)
    return plan if store.startswith("sqlite") else without_ends(plan)


async def run(seed: int, *, store: str = "sqlite:///chaos.db", nodes: int = 1) -> History:
    """Runs what the seed stands for."""
    plan = plan_of(seed, store, nodes)
    if store == REDIS:
        return await _run_over_redis(plan)
    if nodes > 1:
        return await run_nodes(plan, SharedStore())
    return await _run_process(plan, store)


async def run_nodes(plan: Plan, shared: SharedStore) -> History:
    """Runs a plan for several nodes over this store, which is closed at the end."""
    async with models.Upstream() as upstream:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(configuration(plan, "memory://", upstream.url))
            file.flush()
            settings = load(Path(file.name), {}, {})
        world = World(plan, [Node(shared, settings) for _ in range(plan.nodes)], _history(plan))
        try:
            return await _go(world, Run(world, shared=shared))
        finally:
            shared.close()


async def _run_process(plan: Plan, store: str) -> History:
    history = _history(plan)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        async with models.Upstream() as upstream:
            server = _server(Path(name), configuration(plan, store, upstream.url), history)
            world = World(plan, [server], history)
            return await _go(world, Run(world))


async def _run_over_redis(plan: Plan) -> History:
    # The client takes its time to import, and most runs have no Redis.
    from .redis_faults import RedisFaults
    from .redis_pair import RedisPair

    history = _history(plan)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        pair = RedisPair(Path(name), plan.nodes)
        try:
            await pair.open()
            async with models.Upstream() as upstream:
                texts = [configuration(plan, url, upstream.url) for url in pair.urls]
                nodes = [_server(Path(name) / f"node {number}", text, history) for number, text in enumerate(texts)]
                world = World(plan, nodes, history)
                return await _go(world, Run(world, redis=RedisFaults(world, pair)))
        finally:
            await pair.close()


def _history(plan: Plan) -> History:
    return History(plan.seed, plan.lease_seconds)


def _server(folder: Path, configuration: str, history: History) -> Server:
    folder.mkdir(exist_ok=True)
    (folder / "tidegate.toml").write_text(configuration)
    return Server(folder, lambda how: history.problems.append(Problem("server died", "server", how)))


async def _go(world: World, run: Run) -> History:
    """Starts the nodes and carries the run out on them."""
    try:
        await asyncio.gather(*(node.start() for node in world.nodes))
        await run.go()
    except ServerFailed as error:
        world.problem("server", "server", str(error))
    finally:
        await asyncio.gather(*(node.close() for node in world.nodes))
        await asyncio.gather(*(line.close() for line in world.lines.values()))
    for node in world.nodes:
        for line in node.unhandled():
            world.problem("unhandled error", "server", line[:400])
    return world.history


def configuration(plan: Plan, store: str, upstream_url: str) -> str:
    """The server's configuration file."""
    return f"""
[server]
drain_seconds = {DRAIN_SECONDS}
[store]
url = "{store}"
synchronous = "{plan.synchronous}"
lease_seconds = {plan.lease_seconds}
patience_seconds = {plan.patience_seconds}
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
