"""Draws what the clients of a run do."""

from __future__ import annotations

from random import Random

from .models import PYTHON_FAULTS, REPLAY_WORDS, UPSTREAM_FAULTS, How
from .plan import AttendedPlan, GuestPlan, Keyed, Mode, OwnPlan, ReaderPlan, RoomPlan, StreamPlan, VisitPlan

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


def draw_generation(rng: Random, name: str) -> StreamPlan:
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


def draw_own(rng: Random, name: str, lease: float) -> OwnPlan:
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


def draw_attended(rng: Random, name: str, nodes: int) -> AttendedPlan:
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


def draw_guest(rng: Random, name: str, *, deleted: bool) -> GuestPlan:
    model = rng.choice(("replay-slow", "replay-slow-on"))
    how = How(name, rng.randint(80, 140), 50)
    return GuestPlan(name, model, how, rng.uniform(0, 1.0), rng.uniform(0.3, 1.2), deleted)


def draw_room(rng: Random, name: str, nodes: int) -> RoomPlan:
    return RoomPlan(
        name,
        pauses=tuple(rng.uniform(0.0, 0.3) for _ in range(rng.randint(5, 20))),
        members=tuple(
            VisitPlan(rng.uniform(0, 1.0), rng.uniform(0.2, 2.0), rng.randrange(nodes))
            for _ in range(rng.randint(2, 4))
        ),
    )
