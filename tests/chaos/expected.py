"""How the streams of a run may have ended, and which of the planned faults have come to pass."""

from __future__ import annotations

from collections.abc import Mapping

from .history import TERMINAL, Fired, History, Kept, Stream
from .models import STALL_SECONDS
from .plan import LOSING_FAULTS, PARTITION_FAULTS, AttendedPlan, GuestPlan, OwnPlan, Plan, StreamPlan

PROVIDER_ENDS = {
    "raise": "failed:provider_error",
    "refuse": "failed:overloaded",
    "reset": "failed:upstream_interrupted",
    "malformed": "failed:upstream_malformed",
    "early_end": "failed:upstream_interrupted",
    "silent": "failed:upstream_timeout",
    "hang": "",
    "pause": "completed",
    "": "completed",
}


RECONNECT_SECONDS = 1.0
"""So long after Redis is back a node has come back to it."""

STOPPING_A_NODE = {
    *("kill", "pause_long", "drain", "rolling_restart", "starved"),
    *(f"partition_{fault}" for fault in PARTITION_FAULTS),
    # What a node holds may be lost with what it has written.
    *LOSING_FAULTS,
}
"""What costs one of several nodes what it fills. While Redis alone is away nobody loses anything."""


def describe(history: History, plan: Plan, names: Mapping[str, str], ended: Mapping[str, float]) -> None:
    """Adds what is expected of the streams, whose names by id are given, and the faults of their providers.

    `ended` is when the store had their ends, where that is known.
    """
    plans = {each.name: each for each in (*plan.generations, *plan.own, *plan.attended, *plan.guests)}
    logs = {kept.stream: kept for kept in history.logs}
    for stream, name in names.items():
        about = plans[name]
        grace = None
        if isinstance(about, OwnPlan):
            kind, ends = "own", _own_ends(history, about, stream)
        elif isinstance(about, AttendedPlan):
            kind, ends, grace = "replay", {"cancelled", "completed", *_interruptions(history, about, plan)}, about.grace
        elif isinstance(about, GuestPlan):
            kind, ends = "replay", {"completed", *_interruptions(history, about, plan)}
            if about.deleted and history.failovers:
                # It was cancelled to be deleted, and its deletion was lost.
                ends.add("cancelled")
        else:
            kind, ends = about.model.partition("-")[0], _ends(history, about, plan)
            _note_provider_fault(history, about, logs.get(stream))
        history.streams.append(
            Stream(stream, name, kind, about.text, ends - {""}, ended.get(stream), grace)  # type: ignore[arg-type]
        )


def _interruptions(history: History, about: StreamPlan | AttendedPlan | GuestPlan, plan: Plan) -> set[str]:
    """With one node a drain is the end of everything; with others there is somebody to go on, but for lost patience."""
    fired = {fault.kind for fault in history.fired} | {outage.kind for outage in history.outages}
    if plan.nodes == 1 and "drain" in fired:
        return {"failed:interrupted"}
    stopping = {"kill", "kill_twice"} if plan.nodes == 1 else STOPPING_A_NODE
    # Without a grace nobody is left where the last reader was at the node that is gone.
    goes_on = about.model.endswith("-on") and not (isinstance(about, AttendedPlan) and about.grace == 0)
    ends = {"failed:interrupted"} if fired & stopping and not goes_on else set[str]()
    return ends | {"failed:store_unavailable"} if _longest_away(history) > plan.patience_seconds else ends


def _ends(history: History, about: StreamPlan, plan: Plan) -> set[str]:
    fired = {fault.kind for fault in history.fired}
    ends = {PROVIDER_ENDS[about.how.fault], *_interruptions(history, about, plan)}
    if about.how.fault == "early_end" and (about.how.at == 0 or about.model.endswith("-on")):
        # Nothing came of this request, though something may have come of the one that it carries on.
        ends.add("failed:upstream_empty")
    if about.cancel_at is not None or about.grace is not None:
        ends.add("cancelled")
    if "disk_full" in fired:
        ends.add("failed:store_unavailable")
    if about.model.startswith("openai") and any(
        each.until - each.since > STALL_SECONDS / 2 for each in history.outages
    ):
        # Its tokens were there, but who looks at a clock after a sleep does not know that.
        ends.add("failed:upstream_timeout")
    return ends


def _longest_away(history: History) -> float:
    """For how long, at the most, a node may not have been able to write to Redis."""
    longest = 0.0
    for node in {outage.node for outage in history.outages}:
        since = until = float("-inf")
        for outage in sorted(history.outages, key=lambda outage: outage.since):
            if outage.node == node and outage.kind.startswith(("redis_", "partition_")):
                since = since if outage.since < until else outage.since
                until = max(until, outage.until + RECONNECT_SECONDS)
                longest = max(longest, until - since)
    return longest


def _own_ends(history: History, about: OwnPlan, stream: str) -> set[str]:
    ends = {"completed"}
    if about.cancel_at is not None:
        ends.add("cancelled")
    if about.habit == "dies" or history.failovers or _widest_silence(history, stream) > _lease_of(history, stream):
        ends.add("failed:interrupted")
    return ends


def _lease_of(history: History, stream: str) -> float:
    return min((lease.seconds for lease in history.leases if lease.stream == stream), default=0.0)


def _widest_silence(history: History, stream: str) -> float:
    """For how long, at the most, the server may have waited for a renewal of the lease."""
    accepted = [append for append in history.appends if append.stream == stream and append.status == 200]
    renewals = sorted(
        [
            *((lease.given_at, lease.given_at) for lease in history.leases if lease.stream == stream),
            *((append.sent_at, append.answered_at) for append in accepted),
        ]
    )
    if not renewals:
        # Its creator was never told of it, and so has no lease.
        return float("inf")
    readings = [reading for reading in history.readings if reading.stream == stream]
    ended = [event.at for reading in readings for event in reading.events if event.type in TERMINAL]
    answered = [*(answered for _, answered in renewals[1:]), min(ended, default=float("inf"))]
    # A lease is given some time before its client is told.
    return max(end - sent for (sent, _), end in zip(renewals, answered, strict=True)) + 0.2


def _note_provider_fault(history: History, about: StreamPlan, kept: Kept | None) -> None:
    fault, words = about.how.fault, 0
    if kept is not None:
        words = sum(event.type == "delta" for event in kept.events)
    if fault and (words >= about.how.at or fault == "refuse"):
        history.fired.append(Fired(f"provider_{fault}", 0.0, about.name))
