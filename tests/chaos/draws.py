"""What a seed stands for: draws the plan of a run before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import msgspec

from .plan import LINE_FAULTS, PARTITION_FAULTS, REDIS_FAULTS, FaultPlan, Plan
from .workload import draw_attended, draw_generation, draw_guest, draw_own, draw_room

HORIZON_SECONDS = 2.0
"""Faults begin within so long after the clients do."""


def draw(seed: int) -> Plan:
    """The plan that a seed stands for; always the same."""
    rng = Random(f"plan {seed}")
    lease = rng.choice((0.5, 0.7, 1.0))
    return Plan(
        seed=seed,
        lease_seconds=lease,
        synchronous=rng.choice(("normal", "full")),
        heartbeat_seconds=rng.choice((0.3, 0.6)),
        compression=rng.random() < 0.8,
        generations=tuple(draw_generation(rng, f"g{index}") for index in range(rng.randint(4, 7))),
        own=tuple(draw_own(rng, f"o{index}", lease) for index in range(rng.randint(1, 3))),
        faults=tuple(_fault(rng, lease, FAULTS) for _ in range(rng.randint(2, 5))),
        kill_at_rest=rng.random() < 0.25,
    )


def without_ends(plan: Plan) -> Plan:
    """The plan for a store that keeps nothing when its process ends."""
    faults = tuple(fault for fault in plan.faults if fault.kind not in ("kill", "kill_twice", "drain"))
    return msgspec.structs.replace(plan, faults=faults, kill_at_rest=False)


def among(nodes: int, plan: Plan) -> Plan:
    """The plan for so many nodes over one memory store: what each seed does to one of them, and to none of the others.

    The lease is longer, since all of them share one interpreter.
    """
    rng = Random(f"nodes {plan.seed}")
    return _shared(rng, nodes, plan, rng.choice((0.8, 1.0, 1.2)), AMONG_FAULTS, (2, 5))


def over_redis(nodes: int, plan: Plan) -> Plan:
    """The plan for so many nodes, each a process, over one Redis: what each seed does to them, to it and in between.

    The lease is longer still, since some twenty processes share two cores. Some producers lose their patience.
    """
    rng = Random(f"redis {plan.seed}")
    drawn = _shared(rng, nodes, plan, rng.choice((1.0, 1.2, 1.5)), OVER_REDIS_FAULTS, (3, 6))
    return msgspec.structs.replace(drawn, patience_seconds=rng.choice((30.0, 30.0, 30.0, 1.0)))


def _shared(
    rng: Random, nodes: int, plan: Plan, lease: float, faults: Mapping[str, int], count: tuple[int, int]
) -> Plan:
    return msgspec.structs.replace(
        plan,
        lease_seconds=lease,
        own=tuple(draw_own(rng, each.name, lease) for each in plan.own),
        faults=tuple(_fault(rng, lease, faults, nodes) for _ in range(rng.randint(*count))),
        nodes=nodes,
        attended=tuple(draw_attended(rng, f"a{index}", nodes) for index in range(rng.randint(1, 2))),
        guests=tuple(draw_guest(rng, f"s{index}", deleted=index > 0) for index in range(2)),
        rooms=(draw_room(rng, f"room-{plan.seed}", nodes),),
    )


FAULTS = {
    "kill": 5,
    "kill_twice": 2,
    "pause_short": 3,
    "pause_long": 3,
    "drain": 2,
    "disk_full": 5,
    "clock_jump": 3,
    **{f"line_{fault}": 2 for fault in LINE_FAULTS},
}

AMONG_FAULTS = {
    "kill": 6,
    "pause_short": 2,
    "pause_long": 6,
    "drain": 6,
    **{f"line_{fault}": 1 for fault in LINE_FAULTS},
}
"""What happens to one of several nodes: all of them are one process, with one store in its memory."""

OVER_REDIS_FAULTS = {
    "kill": 3,
    "pause_short": 2,
    "pause_long": 3,
    "drain": 3,
    "rolling_restart": 2,
    **{f"redis_{fault}": 3 for fault in REDIS_FAULTS},
    **{f"partition_{fault}": 3 for fault in PARTITION_FAULTS},
    **{f"line_{fault}": 1 for fault in LINE_FAULTS},
}
"""What happens to one of several nodes, to Redis, and between the two."""


def _fault(rng: Random, lease: float, faults: Mapping[str, int], nodes: int = 1) -> FaultPlan:
    (kind,) = rng.choices(list(faults), list(faults.values()))
    seconds = {
        "kill": (0.0, 0.5),
        "kill_twice": (0.02, 0.3),
        "pause_short": (0.05, lease * 0.8),
        "pause_long": (lease * 1.2, lease * 2 + 0.5),
        "drain": (0.0, 0.2),
        "disk_full": (0.1, lease * 1.5),
        "rolling_restart": (0.0, 0.2),
        "redis_kill": (0.0, lease * 1.5),
        "redis_restart": (0.0, 0.5),
        "redis_pause_short": (0.05, lease * 0.8),
        "redis_pause_long": (lease * 1.2, lease * 2 + 0.5),
        # For so long a master that has been replaced is written to.
        "redis_failover_behind": (0.05, lease * 0.8),
        "redis_split": (0.1, lease * 2),
        **{f"partition_{fault}": (0.1, lease * 2) for fault in PARTITION_FAULTS},
    }.get(kind, (0.1, 0.8))
    amount = {
        # A write that crosses the limit is cut short there, so odd sizes make torn pages and frames.
        "disk_full": rng.choice((0, rng.randint(1, 40_000), rng.randint(40_000, 400_000))),
        "clock_jump": rng.choice((-3600, -5, -0.5, 0.5, 5, 3600)),
        "line_delay": rng.uniform(0.005, 0.05),
        "line_shred": rng.randint(1, 64),
    }.get(kind, 0)
    at = rng.uniform(0.1, HORIZON_SECONDS)
    length, share = rng.uniform(*seconds), rng.uniform(0.3, 1.0)
    return FaultPlan(kind, at, length, amount, share, rng.randrange(nodes) if nodes > 1 else 0)
