"""Judges when streams got their end that nobody filled any more: soon, but not while their node may be alive.

Pure, and a part of the checker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .history import Event, History, Outage, Stream, Violation

SLACK_SECONDS = 0.7
"""Many runs share two cores: so much later something may be done, or be seen."""

TAKEOVER_SECONDS = 1.0
"""So long after the lease of a dead node another one fills what it filled."""

SHARP_SECONDS = 0.3
"""Times of the harness and of the nodes are compared with no less than this."""

AT_ONCE = ("kill", "pause_short", "pause_long", "partition_cut", "partition_vanish", "partition_stall")
"""Outages of one node, after whose beginning the others wait for its lease. After all others leases run anew."""

SILENCES = ("redis_kill", "redis_restart", "redis_pause_short", "redis_pause_long", "redis_failover")
"""Outages in which Redis has answered nobody."""


def takeovers(history: History, logs: Mapping[str, Sequence[Event]]) -> Iterator[Violation]:
    """Of the streams that ended as interrupted, and when that is known."""
    for stream in history.streams:
        log = logs.get(stream.id)
        interrupted = log and log[-1].data.get("error", {}).get("code") == "interrupted"
        if interrupted and stream.ended_at is not None and stream.kind != "own":
            yield from _late(history, stream, stream.ended_at)
            yield from _early(history, stream, stream.ended_at)


def _late(history: History, stream: Stream, ended_at: float) -> Iterator[Violation]:
    """A lease and a second after its node was gone, or after Redis was back for those that take over."""
    begun = [outage for outage in history.outages if outage.since <= ended_at + SHARP_SECONDS]
    if begun and all(ended_at > _due(history, outage) for outage in begun):
        last = max(begun, key=lambda outage: outage.until)
        yield Violation("late end", f"{stream.name} {stream.id}", f"ended at {ended_at:.2f}, long after {last}")


def _due(history: History, outage: Outage) -> float:
    late = history.lease_seconds + TAKEOVER_SECONDS + SLACK_SECONDS
    due = _begun(outage) + late
    for other in sorted(history.outages, key=lambda other: other.since):
        # Whoever was about to take it over has been hit, too.
        if other.since < due:
            due = max(due, _begun(other) + late)
    return due


def _begun(outage: Outage) -> float:
    """From when on others wait for a lease."""
    return outage.since if outage.kind in AT_ONCE else outage.until


def _early(history: History, stream: Stream, ended_at: float) -> Iterator[Violation]:
    """Until a lease after Redis is back its node may renew its own, unless that was given up before."""
    if any(outage.kind == "drain" and _is_near(outage, ended_at) for outage in history.outages):
        return
    for outage in history.outages:
        # A silence of half a lease or less takes nothing from the streak of anybody's contact.
        is_long = outage.until - outage.since > history.lease_seconds / 2 + SHARP_SECONDS
        soonest = outage.until + history.lease_seconds - SHARP_SECONDS
        is_early = outage.kind in SILENCES and is_long and outage.since + SHARP_SECONDS < ended_at < soonest
        if is_early and not _given_up(history, outage.since, ended_at):
            yield Violation("early end", f"{stream.name} {stream.id}", f"ended at {ended_at:.2f}, soon after {outage}")
            return


def _given_up(history: History, since: float, ended_at: float) -> bool:
    """Whether it may have been an orphan before the silence, or what its node had written was lost since."""
    return any(outage.kind not in SILENCES and outage.since < since for outage in history.outages) or any(
        since - SHARP_SECONDS < failover.until < ended_at + SHARP_SECONDS for failover in history.failovers
    )


def _is_near(outage: Outage, at: float) -> bool:
    return outage.since - SHARP_SECONDS < at < outage.until + SLACK_SECONDS
