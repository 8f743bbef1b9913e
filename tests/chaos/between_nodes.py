"""Judges what nodes owe each other: that cancels are heard, owner readers counted, and streams taken over.

Pure, and a part of the checker.
"""

from __future__ import annotations

from collections.abc import Iterator

from .history import Append, Cancelling, Death, Event, History, Revoked, Stay, Stream, Violation
from .losses import Losses
from .room_check import of_room
from .takeovers import SLACK_SECONDS, TAKEOVER_SECONDS

HEARD_SECONDS = 1.0
"""A cancel has reached a provider by then, on whichever node."""

RETURN_SECONDS = 10.0
"""What readers of a stream that was handed over have to come back at the least."""


def between_nodes(history: History, losses: Losses) -> Iterator[Violation]:
    """Every violation of what holds between nodes."""
    for cancelling in history.cancellings:
        yield from _cancelling(history, cancelling)
    for stream in history.streams:
        if stream.grace is not None and stream.ended_at is not None:
            yield from _Attended(history, stream, stream.grace, stream.ended_at).check()
    for death in history.deaths:
        yield from _death(history, death)
    for append in history.appends if history.acquired else ():
        yield from _refused(history, append)
    for revoked in history.revoked:
        yield from _revoked(history, revoked)
    for room in history.rooms:
        yield from of_room(history, room, losses)


def _was_away(history: History, since: float, until: float, node: int | None = None) -> bool:
    """Whether the node, or any, may have been taken for dead at some time in between, or was about to leave."""
    return any(
        node in (None, outage.node)
        and outage.since < until
        and outage.until + history.lease_seconds + SLACK_SECONDS > since
        for outage in history.outages
    )


def _cancelling(history: History, asked: Cancelling) -> Iterator[Violation]:
    seconds = asked.answered_at - asked.asked_at
    if asked.status == 504 and not _was_away(history, asked.asked_at, asked.answered_at, asked.node):
        yield Violation("unheard cancel", asked.stream, f"node {asked.node} has given up after {seconds:.2f} s")
    elif seconds > HEARD_SECONDS + SLACK_SECONDS and not _was_away(history, asked.asked_at, asked.answered_at):
        yield Violation("unheard cancel", asked.stream, f"node {asked.node} has answered after {seconds:.2f} s")


class _Attended:
    """A stream whose every owner reader is known: it lives as long as one is there, on any node, and a grace longer."""

    def __init__(self, history: History, stream: Stream, grace: float, ended_at: float) -> None:
        self._history = history
        self._stream = stream
        self._grace = grace
        self._ended_at = ended_at
        self._readings = [reading for reading in history.visits if reading.stream == stream.id]
        self._stays = [stay for reading in self._readings for stay in reading.stays]

    def check(self) -> Iterator[Violation]:
        last = max(self._stays, key=lambda stay: stay.until, default=None)
        if last is None:
            return
        if self._was_abandoned() and (there := [stay for stay in self._stays if self._is_there(stay)]):
            what = f"was cancelled at {self._ended_at:.2f}, with a grace of {self._grace:g} s and a reader {there[0]}"
            yield Violation("cancelled while read", self._subject, what)
        due = self._due(last)
        if due is not None and self._ended_at > due:
            what = f"ended at {self._ended_at:.2f}, though all had left at {last.until:.2f} and it was due at {due:.2f}"
            yield Violation("outlived its readers", self._subject, what)

    @property
    def _subject(self) -> str:
        return f"{self._stream.name} {self._stream.id}"

    def _was_abandoned(self) -> bool:
        end = self._end()
        return end is not None and end.type == "cancelled" and end.data.get("by") == "disconnect"

    def _end(self) -> Event | None:
        logs = [kept.events for kept in self._history.logs if kept.stream == self._stream.id]
        return logs[-1][-1] if logs and logs[-1] else None

    def _is_there(self, stay: Stay) -> bool:
        """Whether it was surely there when the stream was cancelled, or less than the grace before."""
        left_late = stay.ended or stay.until > self._ended_at - self._grace + 0.1
        came = stay.since + SLACK_SECONDS / 2 < self._ended_at
        return came and left_late and not _was_away(self._history, stay.since, self._ended_at, stay.node)

    def _due(self, last: Stay) -> float | None:
        """When it has ended at the latest; None where the last reader was sent away, which means nothing."""
        if last.ended or self._is_sent_away(last) or self._came_unseen(last):
            return None
        due = last.until + self._grace + SLACK_SECONDS
        for outage in sorted(self._history.outages, key=lambda outage: outage.since):
            # Who was at a dead node is counted for a lease; who fills the stream is another a second later.
            if outage.since < due:
                wait = RETURN_SECONDS if outage.kind == "drain" and last.until < outage.until else 0.0
                late = self._history.lease_seconds + TAKEOVER_SECONDS + SLACK_SECONDS
                due = max(due, outage.until + late + max(self._grace, wait))
        return due

    def _came_unseen(self, last: Stay) -> bool:
        """Whether nodes could not tell each other from the first one's coming to the last one's going: then nobody has
        come for the node that fills the stream."""
        first = min(stay.since for stay in self._stays)
        return any(
            outage.kind.startswith(("partition_", "redis_"))
            and outage.since <= first + SLACK_SECONDS / 2
            and last.until <= outage.until
            for outage in self._history.outages
        )

    def _is_sent_away(self, last: Stay) -> bool:
        return any(
            outage.kind == "drain" and outage.node == last.node and outage.since <= last.until <= outage.until
            for outage in self._history.outages
        )


def _death(history: History, death: Death) -> Iterator[Violation]:
    """What a dead node filled has an end, or is another's, within its lease and a second."""
    due = death.at + history.lease_seconds + TAKEOVER_SECONDS + SLACK_SECONDS
    if any(death.at < outage.since < due for outage in history.outages):
        # Whoever was about to take it over may have been hit, too.
        return
    ends = {stream.id: stream.ended_at for stream in history.streams}
    for stream in death.streams:
        ended_at = ends.get(stream)
        acquired = any(each.stream == stream and death.at < each.at <= due for each in history.acquired)
        if ended_at is not None and ended_at > due and not acquired:
            yield Violation("late end", stream, f"its node died at {death.at:.2f}, it ended at {ended_at:.2f}")


def _refused(history: History, append: Append) -> Iterator[Violation]:
    """Who has the lease is not fenced because another node has taken the stream over.

    A request to open the stream once more that waited in a paused node, or on a line, replaces the lease when it is
    read: where there may be one, nothing is said.
    """
    ended_at = next((stream.ended_at for stream in history.streams if stream.id == append.stream), None)
    newest = max((lease.number for lease in history.leases if lease.stream == append.stream), default=0)
    if append.code != "fenced" or append.lease != newest or (ended_at or 0.0) <= append.answered_at:
        return
    delayed = any(outage.kind.startswith(("pause", "starved")) for outage in history.outages)
    if not delayed and not any(fault.kind.startswith("line_") for fault in history.fired):
        yield Violation("fenced owner", append.stream, f"was fenced at {append.answered_at:.2f} with its lease")


def _revoked(history: History, revoked: Revoked) -> Iterator[Violation]:
    """Whoever reads by a void token is sent away, wherever it reads."""
    due = revoked.at + HEARD_SECONDS + SLACK_SECONDS
    for visit in history.visits:
        for stay in visit.stays if visit.stream == revoked.stream else ():
            if stay.until > due and not _was_away(history, revoked.at, stay.until, stay.node):
                what = f"read until {stay.until:.2f} at node {stay.node}, and was void at {revoked.at:.2f}"
                yield Violation("void share", f"{visit.name} of {visit.stream}", what)
