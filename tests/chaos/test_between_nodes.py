from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from tidegate.stores.cluster import Cancel, Cluster, Command, Count

from .checker import check
from .draws import among, draw
from .history import (
    Acquired,
    Append,
    Cancelling,
    Death,
    Event,
    History,
    Kept,
    Lease,
    Outage,
    Published,
    Reading,
    Revoked,
    Stay,
    Stream,
)
from .models import How
from .plan import AttendedPlan, Plan, StreamPlan, VisitPlan
from .setups import run_nodes
from .shared_store import SharedStore

pytestmark = pytest.mark.anyio

LEASE = 0.5

END = {"finish_reason": "stop", "usage": {}}


class Sabotaged:
    """A cluster with one fault: what it is not asked otherwise it answers as the real one does."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> object:
        return getattr(self._cluster, name)


class Deaf(Sabotaged):
    """Drops what would cancel a stream of another node."""

    def tell(self, command: Command) -> None:
        if not isinstance(command, Cancel):
            self._cluster.tell(command)


class Alone(Sabotaged):
    """Counts its own owner readers, and no other node's."""

    def total(self, what: Count, key: str) -> int:
        return sum(self.counts(what, key).values())

    def counts(self, what: Count, key: str) -> Mapping[str, int]:
        if what != "owner readers":
            return self._cluster.counts(what, key)
        own = self._cluster.parts.of(what, key)  # type: ignore[attr-defined]
        return own if isinstance(own, Mapping) else {"": own}


def plan(*generations: StreamPlan, attended: tuple[AttendedPlan, ...] = ()) -> Plan:
    """Two nodes to which nothing happens."""
    return msgspec.structs.replace(
        among(2, draw(0)),
        lease_seconds=LEASE,
        generations=generations,
        own=(),
        faults=(),
        kill_at_rest=False,
        attended=attended,
        guests=(),
        rooms=(),
    )


def cancelled(name: str) -> StreamPlan:
    return StreamPlan(
        name=name,
        model="replay-slow",
        how=How(name, 300, 50),
        at=0.0,
        mode="background",
        keyed="yes",
        grace=None,
        batch=None,
        cancel_at=0.2,
        readers=(),
    )


REFRESHED = AttendedPlan(
    name="a0",
    model="replay-slow",
    how=How("a0", 400, 50),
    at=0.0,
    grace=0.3,
    visits=(VisitPlan(0.0, 0.4, 0), VisitPlan(0.2, 1.0, 1), VisitPlan(1.0, 1.0, 0)),
)
"""Whichever node fills it has no reader of its own for longer than the grace, while the other one has."""


async def rules(plan: Plan, sabotage: type[Sabotaged] | None = None) -> set[str]:
    """What the checker finds in a run of the plan."""
    shared = SharedStore(wrap=sabotage or (lambda cluster: cluster))  # type: ignore[arg-type]
    return {violation.rule for violation in check(await run_nodes(plan, shared))}


async def test_a_cancel_that_does_not_reach_the_other_node_is_caught() -> None:
    """Some of ten cancels are asked for at the node that does not fill the stream."""
    streams = [cancelled(f"g{number}") for number in range(10)]
    assert await rules(plan(*streams), Deaf) == {"unheard cancel"}
    assert await rules(plan(*streams)) == set()


async def test_a_grace_that_ignores_the_readers_of_the_other_node_is_caught() -> None:
    """A stream is cancelled although its owner reads it, at the other node."""
    assert await rules(plan(attended=(REFRESHED,)), Alone) == {"cancelled while read"}
    assert await rules(plan(attended=(REFRESHED,))) == set()


def log(*events: tuple[str, dict[str, object]]) -> Kept:
    started = ("started", {"id": "gen_1"})
    return Kept("gen_1", [Event(kind, data, f"a-{n}") for n, (kind, data) in enumerate((started, *events), start=1)])


def attended(*stays: Stay, ended_at: float, outages: list[Outage] | None = None, by: str = "disconnect") -> History:
    """A stream with a grace of half a second, and the stays of its owner readers."""
    return History(
        0,
        lease_seconds=LEASE,
        streams=[Stream("gen_1", "a0", "replay", "x y", {"cancelled", "completed"}, ended_at, 0.5)],
        logs=[log(("delta", {"text": "x"}), ("cancelled", {"by": by}))],
        visits=[Reading("v", "gen_1", stays=list(stays))],
        outages=outages or [],
    )


def found(history: History) -> set[str]:
    return {violation.rule for violation in check(history)}


def test_a_cancel_of_what_is_read_is_caught() -> None:
    """One that comes before the grace is over, or while a reader is there; not where its node may be taken for dead."""
    early, there = Stay(1, 0.0, 2.0, ended=False), Stay(1, 0.0, 2.0, ended=True)
    assert found(attended(early, ended_at=2.1)) == {"cancelled while read"}
    assert found(attended(early, ended_at=2.6)) == set()
    assert found(attended(there, ended_at=2.0)) == {"cancelled while read"}
    assert found(attended(there, ended_at=2.0, by="client")) == set()
    assert found(attended(there, ended_at=2.0, outages=[Outage(0.5, 1.5, 1)])) == set()
    assert found(attended(there, ended_at=2.0, outages=[Outage(0.5, 1.5, 0)])) == {"cancelled while read"}


def test_a_stream_that_outlives_its_readers_is_caught() -> None:
    """It is due with the grace; later where a node was away, and much later, or not, where readers were sent away."""
    last = Stay(1, 0.0, 2.0, ended=False)
    assert found(attended(last, ended_at=3.1)) == set()
    assert found(attended(last, ended_at=4.0)) == {"outlived its readers"}
    assert found(attended(last, ended_at=4.0, outages=[Outage(1.0, 2.5, 0, "kill")])) == set()
    assert found(attended(last, ended_at=9.0, outages=[Outage(1.9, 2.5, 0, "drain")])) == set()
    assert found(attended(last, ended_at=9.0, outages=[Outage(0.5, 1.0, 0, "drain")])) == {"outlived its readers"}
    assert found(attended(last, ended_at=99.0, outages=[Outage(1.9, 2.5, 1, "drain")])) == set()
    assert found(attended(last, ended_at=99.0, outages=[Outage(1.9, 2.5, 0, "drain")])) == {"outlived its readers"}
    assert found(attended(last, ended_at=99.0, outages=[Outage(0.0, 2.5, 0, "partition_cut")])) == set()
    assert found(attended(last, ended_at=99.0, outages=[Outage(0.5, 2.5, 0, "partition_cut")])) == {
        "outlived its readers"
    }


def test_a_cancel_that_takes_long_is_caught() -> None:
    """One that was given up is caught wherever the node that was asked lived; a slow one where all did."""
    for asked, outages, expected in (
        (Cancelling("gen_1", 0, 1.0, 1.2, 200), [], set[str]()),
        (Cancelling("gen_1", 0, 1.0, 3.0, 200), [], {"unheard cancel"}),
        (Cancelling("gen_1", 0, 1.0, 3.0, 200), [Outage(1.0, 2.0, 1)], set[str]()),
        (Cancelling("gen_1", 0, 1.0, 3.5, 504), [Outage(1.0, 2.0, 1)], {"unheard cancel"}),
        (Cancelling("gen_1", 0, 1.0, 3.5, 504), [Outage(1.0, 2.0, 0)], set[str]()),
    ):
        assert found(History(0, lease_seconds=LEASE, cancellings=[asked], outages=outages)) == expected


def test_a_stream_that_nobody_takes_over_in_time_is_caught() -> None:
    """A lease and a second after its node's death it has an end, or another node."""
    history = History(
        0,
        lease_seconds=LEASE,
        streams=[Stream("gen_1", "g0", "replay", "x", {"completed"}, 9.0)],
        logs=[log(("delta", {"text": "x"}), ("completed", END))],
        deaths=[Death(0, 1.0, ["gen_1"])],
    )
    assert found(history) == {"late end"}
    history.acquired = [Acquired("gen_1", 3.5)]
    assert found(history) == {"late end"}
    history.acquired = [Acquired("gen_1", 2.0)]
    assert found(history) == set()


def test_a_producer_that_is_fenced_with_its_own_lease_is_caught() -> None:
    """Not where a request that waited may have replaced the lease, nor once the stream has ended."""
    append = Append("gen_1", 1, 1, [], 1.0, 1.0, 1.1, 409, code="fenced")
    history = History(
        0,
        streams=[Stream("gen_1", "o0", "own", "x", {"failed:interrupted"}, 2.0)],
        appends=[append],
        leases=[Lease("gen_1", 1, 0.5, 0.0)],
        acquired=[Acquired("gen_1", 0.9)],
    )
    assert found(history) == {"fenced owner"}
    history.outages = [Outage(0.1, 0.9, 0, "pause_long")]
    assert found(history) == set()
    history.outages = []
    append.answered_at = 2.1
    assert found(history) == set()


def test_a_guest_that_reads_on_is_caught() -> None:
    """A second after its share was revoked nobody reads by it."""
    history = attended(Stay(1, 0.0, 2.0, ended=False), ended_at=2.6)
    history.revoked = [Revoked("gen_1", 1.5)]
    assert found(history) == set()
    history.revoked = [Revoked("gen_1", 0.1)]
    assert found(history) == {"void share"}


def test_a_message_that_is_not_as_it_was_accepted_is_caught() -> None:
    """One that is not in the topic, is there twice, or was sent to a member in another order."""
    events = [Event("message", {"data": number, "from": "anonymous"}, f"a-{number + 1}") for number in range(3)]
    history = History(
        0,
        published=[Published("room", number, f"a-{number + 1}") for number in range(3)],
        rooms=[Reading("the harness", "room", events=events)],
        members=[Reading("m", "room", events=events[:2])],
    )
    assert found(history) == set()
    history.members[0].events = [events[0], events[2]]
    assert found(history) == {"topic order"}
    history.members = []
    history.rooms[0].events = events[:2]
    assert found(history) == {"lost message"}
    history.rooms[0].events = [*events, events[0]]
    assert found(history) == {"lost message"}
