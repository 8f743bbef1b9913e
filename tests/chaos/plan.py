"""What a run is to be: the workload, the schedule of the faults, and the names in which they are counted."""

from __future__ import annotations

from typing import Literal

import msgspec

from .models import PYTHON_FAULTS, UPSTREAM_FAULTS, How, answer

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
SURROUNDING_FAULTS = (*(f"line_{fault}" for fault in LINE_FAULTS), *PROVIDER_FAULTS, *CLIENT_FAULTS)
KINDS = (*PROCESS_FAULTS, *STORE_FAULTS, *SURROUNDING_FAULTS, "kill_at_rest")
"""Every kind of fault of one process, under the name in which it is counted."""

LOSING_FAULTS = ("redis_failover", "redis_failover_behind", "redis_split")
"""Whoever does these may cost what has been acknowledged."""

NODE_FAULTS = ("kill", "pause_short", "pause_long", "drain", "rolling_restart")
REDIS_FAULTS = ("kill", "restart", "pause_short", "pause_long", "failover", "failover_behind", "split")
PARTITION_FAULTS = ("cut", "vanish", "stall")
REDIS_KINDS = (
    *NODE_FAULTS,
    *(f"redis_{fault}" for fault in REDIS_FAULTS),
    *(f"partition_{fault}" for fault in PARTITION_FAULTS),
    *SURROUNDING_FAULTS,
    "redis_kill_at_rest",
)
"""Every kind of fault of several nodes over Redis."""


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
    """One fault: when, for how long, and how much of it (a limit, a delay, a jump). `share` of the lines have it.

    `node` says to which of the nodes it happens.
    """

    kind: str
    at: float
    seconds: float
    amount: float
    share: float
    node: int = 0


class Plan(msgspec.Struct, frozen=True):
    """One run. `patience_seconds` is how long producers wait for a store that is away."""

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
    patience_seconds: float = 30.0

    @property
    def may_lose(self) -> bool:
        return any(fault.kind in LOSING_FAULTS for fault in self.faults)
