"""What a seed stands for: the workload of a run and the schedule of its faults, all drawn before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Literal

import msgspec

from .models import PYTHON_FAULTS, REPLAY_WORDS, UPSTREAM_FAULTS, How, answer

HORIZON_SECONDS = 2.0
"""Faults begin within so long after the clients do."""

Mode = Literal["background", "stream", "whole"]
Keyed = Literal["no", "yes", "repeated"]

LINE_FAULTS = ("cut", "finish", "vanish", "stall", "delay", "shred", "refuse")
PROCESS_FAULTS = ("kill", "kill_twice", "pause_short", "pause_long", "drain")
STORE_FAULTS = ("disk_full", "clock_jump")
CLIENT_FAULTS = (
    "producer_dies",
    "producer_late",
    "producer_returns",
    "producer_usurped",
    "rival_append",
    "repeated_create",
    "cancel",
)
PROVIDER_FAULTS = tuple(f"provider_{fault}" for fault in (*PYTHON_FAULTS, *UPSTREAM_FAULTS))
CLOSING_FAULTS = ("kill_at_rest",)
KINDS = (
    *PROCESS_FAULTS,
    *STORE_FAULTS,
    *(f"line_{fault}" for fault in LINE_FAULTS),
    *PROVIDER_FAULTS,
    *CLIENT_FAULTS,
    *CLOSING_FAULTS,
)
"""Every kind of fault, under the name in which it is counted."""


class ReaderPlan(msgspec.Struct, frozen=True):
    """A reader of one stream. It breaks off by itself after each number of events in `leaves_after`.

    It begins at the beginning, with a snapshot, or with a cursor that never was. `as_message` and `gzip` ask for
    these forms.
    """

    begins: Literal["beginning", "snapshot", "foreign"]
    at: float
    as_message: bool
    gzip: bool
    leaves_after: tuple[int, ...]


class StreamPlan(msgspec.Struct, frozen=True):
    """A generation: when it is created and how, what its prompt asks for, and who reads it."""

    name: str
    model: str
    how: How
    at: float
    mode: Mode
    keyed: Keyed
    grace: float | None
    batch: dict[str, int] | None
    cancel_at: float | None
    readers: tuple[ReaderPlan, ...]

    @property
    def text(self) -> str:
        return answer(self.model, self.how)


class OwnPlan(msgspec.Struct, frozen=True):
    """A stream that a client fills, in batches of so many words, each after a pause.

    `habit`: it ends the stream; it dies after half of it; it sleeps past its lease and tries to go on; it is away for
    `away` seconds, about its lease, opens the stream once more and goes on; it is usurped by a second one with the same
    key; a rival appends with a lease that never was.
    """

    name: str
    batches: tuple[int, ...]
    pauses: tuple[float, ...]
    at: float
    habit: Literal["ends", "dies", "late", "returns", "usurped", "rival"]
    away: float
    cancel_at: float | None
    readers: tuple[ReaderPlan, ...]

    @property
    def words(self) -> list[str]:
        return [f"{' ' * (index > 0)}{self.name}.{index}" for index in range(sum(self.batches))]

    @property
    def text(self) -> str:
        return "".join(self.words)


class VisitPlan(msgspec.Struct, frozen=True):
    """An owner reader that is there for `seconds`, from `at` on, at a node as long as that lives."""

    at: float
    seconds: float
    node: int


class AttendedPlan(msgspec.Struct, frozen=True):
    """A generation that takes longer than its visits, which follow each other within its grace, on any of the nodes."""

    name: str
    model: str
    how: How
    at: float
    grace: float
    visits: tuple[VisitPlan, ...]

    @property
    def text(self) -> str:
        return answer(self.model, self.how)


class GuestPlan(msgspec.Struct, frozen=True):
    """A generation that is read at every node: by guests until its shares are revoked, or until it is `deleted`."""

    name: str
    model: str
    how: How
    at: float
    until: float
    deleted: bool

    @property
    def text(self) -> str:
        return answer(self.model, self.how)


class RoomPlan(msgspec.Struct, frozen=True):
    """A topic: a message after each of the pauses, and its members' visits."""

    name: str
    pauses: tuple[float, ...]
    members: tuple[VisitPlan, ...]


class FaultPlan(msgspec.Struct, frozen=True):
    """One fault: when, for how long, and how much of it (a limit, a delay, a jump). `lines` by a draw from each.

    `node` says to which of the nodes it happens.
    """

    kind: str
    at: float
    seconds: float
    amount: float
    share: float
    node: int = 0


class Plan(msgspec.Struct, frozen=True):
    """One run."""

    seed: int
    lease_seconds: float
    synchronous: Literal["normal", "full"]
    heartbeat_seconds: float
    compression: bool
    generations: tuple[StreamPlan, ...]
    own: tuple[OwnPlan, ...]
    faults: tuple[FaultPlan, ...]
    kill_at_rest: bool
    nodes: int = 1
    attended: tuple[AttendedPlan, ...] = ()
    guests: tuple[GuestPlan, ...] = ()
    rooms: tuple[RoomPlan, ...] = ()


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
        generations=tuple(_generation(rng, f"g{index}") for index in range(rng.randint(4, 7))),
        own=tuple(_own(rng, f"o{index}", lease) for index in range(rng.randint(1, 3))),
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
    lease = rng.choice((0.8, 1.0, 1.2))
    return msgspec.structs.replace(
        plan,
        lease_seconds=lease,
        own=tuple(_own(rng, each.name, lease) for each in plan.own),
        faults=tuple(_fault(rng, lease, NODE_FAULTS, nodes) for _ in range(rng.randint(2, 5))),
        nodes=nodes,
        attended=tuple(_attended(rng, f"a{index}", nodes) for index in range(rng.randint(1, 2))),
        guests=tuple(_guest(rng, f"s{index}", deleted=index > 0) for index in range(2)),
        rooms=(_room(rng, f"room-{plan.seed}", nodes),),
    )


MODELS = {
    "replay-slow": 2,
    "replay-fast": 3,
    "replay-rush": 1,
    "replay-slow-on": 3,
    "replay-fast-on": 3,
    "replay-rush-on": 1,
    "python-awaited": 3,
    "python-threaded": 2,
    "openai": 3,
    "openai-on": 3,
}


def _generation(rng: Random, name: str) -> StreamPlan:
    (model,) = rng.choices(list(MODELS), list(MODELS.values()))
    how = _how(rng, name, model)
    cancelled = how.fault == "hang" or rng.random() < 0.2
    # Where the answer would have ended by then, the cancel meets an end that has won, or races it.
    length = how.tokens / (how.rate or 1000)
    cancel_at = max(0.05, length * rng.uniform(0.2, 1.1)) if cancelled else None
    mode: Mode = rng.choice(("background", "background", "stream", "whole"))
    if how.fault == "hang" and mode == "whole":
        # It has no head before its end, so nobody could know whom to cancel.
        mode = "background"
    keyed: Keyed = rng.choice(("no", "yes", "yes", "repeated"))
    if how.fault == "hang" and keyed == "no":
        # After an uncertain answer nobody would know it, either.
        keyed = "yes"
    return StreamPlan(
        name=name,
        model=model,
        how=how,
        at=rng.uniform(0, 0.8),
        mode=mode,
        keyed=keyed,
        grace=rng.choice((0.4, 60.0)) if mode == "stream" and rng.random() < 0.4 else None,
        batch={"max_tokens": rng.randint(2, 16), "max_delay_ms": rng.choice((20, 100))} if rng.random() < 0.2 else None,
        cancel_at=cancel_at,
        readers=_readers(rng),
    )


def _how(rng: Random, name: str, model: str) -> How:
    tokens = rng.randint(10, 120)
    rate = {"replay-slow": 50, "replay-fast": 150, "replay-rush": 0}.get(model.removesuffix("-on"))
    if rate is not None:
        return How(name, tokens * (3 if rate == 0 else 1), rate)
    faults = PYTHON_FAULTS if model.startswith("python") else UPSTREAM_FAULTS
    fault = rng.choice(faults) if rng.random() < 0.5 else ""
    return How(name, tokens, rng.choice((60, 120, 200)), fault, rng.randrange(tokens) if fault else -1)


def _own(rng: Random, name: str, lease: float) -> OwnPlan:
    count = rng.randint(3, 12)
    return OwnPlan(
        name=name,
        batches=tuple(rng.choice((1, 2, 5, 20, 150)) for _ in range(count)),
        pauses=tuple(rng.uniform(0.01, min(0.3, lease / 2)) for _ in range(count)),
        at=rng.uniform(0, 0.8),
        habit=rng.choice(("ends", "ends", "ends", "dies", "late", "returns", "returns", "usurped", "rival")),
        away=lease * rng.uniform(0.95, 1.05),
        cancel_at=rng.uniform(0.2, 1.0) if rng.random() < 0.15 else None,
        readers=_readers(rng),
    )


def _readers(rng: Random) -> tuple[ReaderPlan, ...]:
    return tuple(
        ReaderPlan(
            begins=rng.choices(("beginning", "snapshot", "foreign"), (7, 2, 1))[0],
            at=rng.uniform(0, 1.0),
            as_message=rng.random() < 0.2,
            gzip=rng.random() < 0.2,
            leaves_after=tuple(rng.randint(1, 30) for _ in range(rng.choice((0, 0, 1, 3)))),
        )
        for _ in range(rng.randint(1, 3))
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

NODE_FAULTS = {
    "kill": 6,
    "pause_short": 2,
    "pause_long": 6,
    "drain": 6,
    **{f"line_{fault}": 1 for fault in LINE_FAULTS},
}
"""What happens to one of several nodes: all of them are one process, with one store in its memory."""


def _fault(rng: Random, lease: float, faults: Mapping[str, int], nodes: int = 1) -> FaultPlan:
    (kind,) = rng.choices(list(faults), list(faults.values()))
    seconds = {
        "kill": (0.0, 0.5),
        "kill_twice": (0.02, 0.3),
        "pause_short": (0.05, lease * 0.8),
        "pause_long": (lease * 1.2, lease * 2 + 0.5),
        "drain": (0.0, 0.2),
        "disk_full": (0.1, lease * 1.5),
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


def _attended(rng: Random, name: str, nodes: int) -> AttendedPlan:
    grace = rng.choice((0.0, 0.4, 0.8))
    visits: list[VisitPlan] = []
    at, node = 0.0, rng.randrange(nodes)
    for _ in range(rng.randint(2, 4)):
        seconds = rng.uniform(0.3, 1.0)
        visits.append(VisitPlan(at, seconds, node))
        # The next one comes before this one has gone, or else before its grace is over.
        at += seconds + rng.choice((-0.2, grace / 2 if grace else -0.15))
        node = (node + 1) % nodes if rng.random() < 0.8 else node
    model = rng.choice(("replay-slow", "replay-slow-on", "replay-slow-on"))
    return AttendedPlan(name, model, How(name, REPLAY_WORDS, 50), rng.uniform(0, 1.0), grace, tuple(visits))


def _guest(rng: Random, name: str, *, deleted: bool) -> GuestPlan:
    model = rng.choice(("replay-slow", "replay-slow-on"))
    how = How(name, rng.randint(80, 140), 50)
    return GuestPlan(name, model, how, rng.uniform(0, 1.0), rng.uniform(0.3, 1.2), deleted)


def _room(rng: Random, name: str, nodes: int) -> RoomPlan:
    return RoomPlan(
        name,
        pauses=tuple(rng.uniform(0.0, 0.3) for _ in range(rng.randint(5, 20))),
        members=tuple(
            VisitPlan(rng.uniform(0, 1.0), rng.uniform(0.2, 2.0), rng.randrange(nodes))
            for _ in range(rng.randint(2, 4))
        ),
    )
