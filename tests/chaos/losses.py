"""What a promoted replica may not have had: the only thing that nodes over Redis may lose, and not in silence.

Pure, and a part of the checker. When something was acknowledged is known by when a client was told.
"""

from __future__ import annotations

from collections.abc import Iterable

from .history import Created, Failover, History, Outage, Violation

ROUNDED_SECONDS = 0.001
"""Times in a history are exact to this."""

TOLD_SECONDS = 2.0
"""So long after its acknowledgement a client may be told: by a line that is held up, by a reader that comes back."""


HOLDING_UP = ("pause_", "starved", "redis_", "partition_")
"""Outages in which a node goes on with what it has."""


class Losses:
    """By the failovers of a run."""

    def __init__(self, history: History) -> None:
        self._spans = [(each.since - ROUNDED_SECONDS, _told_until(each, history.outages)) for each in history.failovers]
        self._split = {created.stream for created in history.created if self.may_hit(created.at)}
        there = {kept.stream for kept in history.logs if kept.events}
        self._streams = {
            created.stream for created in history.created if created.stream not in there and self.may_hit(created.at)
        }

    def may_miss(self, stream: str) -> bool:
        """Whether a node may say that there is no such stream: it was created while nodes had different masters."""
        return stream in self._split

    def may_hit(self, at: float) -> bool:
        """Whether what a client was told at this time may have been acknowledged to be lost."""
        return any(since <= at <= until for since, until in self._spans)

    def kept(self, created: Iterable[Created]) -> list[Created]:
        """The creations that must not be lost, nor their keys."""
        return [each for each in created if not self.may_hit(each.at)]

    def excuses(self, violation: Violation) -> bool:
        """Whether it is about a stream that was lost as a whole."""
        return any(stream in violation.subject or stream in violation.what for stream in self._streams)


def _told_until(failover: Failover, outages: Iterable[Outage]) -> float:
    """When a client has been told of what was acknowledged by then, at the latest.

    A paused node tells nobody; one that cannot reach Redis has no way to know what has been lost.
    """
    until = failover.until + TOLD_SECONDS
    for outage in sorted(outages, key=lambda outage: outage.since):
        if outage.kind.startswith(HOLDING_UP) and outage.since < until:
            until = max(until, outage.until + TOLD_SECONDS)
    return until
