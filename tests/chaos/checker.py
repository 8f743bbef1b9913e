"""Judges a history. Pure: the same history always has the same violations.

The last reading of each log is the truth that everything else is compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from .between_nodes import between_nodes
from .history import TERMINAL, Append, Event, History, Kept, Lease, Look, Outage, Stream, Violation
from .losses import Losses
from .reading_check import content_of, of_reading, of_visit, text_of
from .takeovers import takeovers

GRACE_SECONDS = 1.0
"""A lease that ran out is dealt with within so long; until then an append may still come in time."""

NEWS_SECONDS = 2.0
"""So long after an event somebody has seen it, once nothing is wrong any more: readers come back, many runs at once."""

Logs = Mapping[str, Sequence[Event]]


def check(history: History) -> list[Violation]:
    """Every violation in the history, in the order of the rules."""
    logs: dict[str, Sequence[Event]] = {kept.stream: kept.events for kept in history.logs}
    losses = Losses(history)
    found = [Violation(problem.rule, problem.subject, problem.what) for problem in history.problems]
    found += _known_ids(history, logs, losses)
    found += _logs(history, logs)
    for reading in history.readings:
        found += of_reading(reading, logs.get(reading.stream, ()), losses)
    for visit in history.visits:
        found += of_visit(visit, logs.get(visit.stream, ()), losses)
    for look in history.looks:
        found += _look(look, logs.get(look.stream, ()), losses)
    found += _appends(history, logs, losses)
    found += _fences(history, losses)
    for stream in history.streams:
        found += _purpose(stream, logs.get(stream.id, ()))
        found += _recovery(history, stream, logs.get(stream.id, ()))
    found += takeovers(history, logs)
    found += between_nodes(history, losses)
    return [violation for violation in found if not losses.excuses(violation)]


# What was created exists, and a key leads to one stream.


def _known_ids(history: History, logs: Logs, losses: Losses) -> Iterator[Violation]:
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for created in losses.kept(history.created):
        if not logs.get(created.stream):
            yield Violation("lost stream", created.stream, "was created and answered, and has no log")
        if created.key:
            by_key[created.key].add(created.stream)
    for key, streams in by_key.items():
        if len(streams) > 1:
            yield Violation("one key, two streams", key, ", ".join(sorted(streams)))


# Logs: numbered without holes, begun by `started`, ended once, never changed.


def _logs(history: History, logs: Logs) -> Iterator[Violation]:
    for kept in history.logs:
        if kept.events != logs[kept.stream] and not _is_same(kept, logs[kept.stream]):
            yield Violation("log changed", kept.stream, "a later reading of the ended log differs")
    for stream, events in logs.items():
        yield from _log(stream, events)


def _is_same(kept: Kept, events: Sequence[Event]) -> bool:
    return [content_of(event) for event in kept.events] == [content_of(event) for event in events]


def _log(stream: str, events: Sequence[Event]) -> Iterator[Violation]:
    offsets = [event.offset for event in events]
    if offsets != list(range(1, len(events) + 1)):
        yield Violation("log order", stream, f"offsets are {_short(offsets)}")
    if events and (events[0].type != "started" or events[0].data.get("id") != stream):
        yield Violation("log order", stream, f"begins with {events[0].type} {events[0].data}")
    if any(event.type == "started" for event in events[1:]):
        yield Violation("log order", stream, "is started twice")
    ends = [event.offset for event in events if event.type in TERMINAL]
    if len(ends) != 1:
        yield Violation("one end", stream, f"has {len(ends)} terminal events, at {ends}")
    elif ends[0] != len(events):
        yield Violation("one end", stream, f"goes on after its end, {ends[0]} of {len(events)}")
    epochs = [event.epoch for event in events]
    changes = sum(one != other for one, other in pairwise(epochs))
    if changes + 1 != len(set(epochs)) and epochs:
        yield Violation("log order", stream, f"an epoch comes back: {epochs}")


# Answers about a stream: what they said holds.


def _look(look: Look, log: Sequence[Event], losses: Losses) -> Iterator[Violation]:
    subject = f"{look.source} of {look.stream} at {look.at:.2f}"
    if not log:
        return
    offset = int(look.cursor.partition("-")[2])
    if offset > len(log) or (offset and log[offset - 1].id != look.cursor):
        if losses.may_hit(look.at):
            return
        yield Violation("taken back", subject, f"its cursor {look.cursor} is not in the log of {len(log)}")
        return
    if look.text is not None and look.text != text_of(log[:offset]):
        yield Violation("taken back", subject, f"its text up to {look.cursor} is not the log's")
    end = log[-1].type
    if look.status in TERMINAL and (look.status != end or offset != len(log)):
        yield Violation(
            "end changed", subject, f"said {look.status} at {look.cursor}, the log ends {end} at {len(log)}"
        )


# Appends: what was acknowledged is there, and only who had the lease was acknowledged.


def _appends(history: History, logs: Logs, losses: Losses) -> Iterator[Violation]:
    for append in history.appends:
        log = logs.get(append.stream)
        if append.status != 200 or not log:
            continue
        if losses.may_hit(append.answered_at) and append.cursor not in {event.id for event in log}:
            continue
        after = append.expected + len(append.events)
        there = [{"type": event.type, "data": event.data} for event in log[append.expected : after]]
        if there != append.events:
            what = f"{len(append.events)} events after {append.expected} were acknowledged; the log has {_short(there)}"
            yield Violation("lost append", append.stream, what)
        elif append.cursor != log[after - 1].id:
            what = f"was told {append.cursor}, and the log has {log[after - 1].id}"
            yield Violation("lost append", append.stream, what)


def _fences(history: History, losses: Losses) -> Iterator[Violation]:
    leases: defaultdict[str, dict[int, Lease]] = defaultdict(dict)
    for lease in history.leases:
        # One that was lost replaces no other.
        given_at = float("inf") if losses.may_hit(lease.given_at) else lease.given_at
        leases[lease.stream][lease.number] = msgspec.structs.replace(lease, given_at=given_at)
    accepted = [append for append in history.appends if append.status == 200]
    # What a dead node filled waits for its producer once more, at another node, when that has it.
    taken_over = [Outage(death.at, death.at + history.lease_seconds + GRACE_SECONDS) for death in history.deaths]
    outages = [*history.outages, *taken_over]
    for append in accepted:
        if wrong := _unfenced(append, leases[append.stream], accepted, outages):
            yield Violation("unfenced append", append.stream, f"after {append.expected}, with {wrong}")


def _unfenced(
    append: Append, leases: Mapping[int, Lease], accepted: Sequence[Append], outages: Sequence[Outage]
) -> str | None:
    """Why the lease of an accepted append was not valid when the append was sent for the first time."""
    sent_at = append.first_sent_at
    lease = leases.get(append.lease)
    if lease is None:
        return "a lease that never was"
    if later := [each for each in leases.values() if each.number > lease.number and each.given_at < sent_at]:
        return f"lease {lease.number}, which lease {later[0].number} had replaced"
    renewals = [
        each.answered_at
        for each in accepted
        if (each.stream, each.lease) == (append.stream, append.lease) and each.answered_at <= sent_at
    ]
    over = _over(max([lease.given_at, *renewals]), lease.seconds, outages)
    return f"a lease that was over for {sent_at - over:.2f} s" if sent_at > over else None


def _over(renewed_at: float, seconds: float, outages: Iterable[Outage]) -> float:
    """When a lease is surely over. One that an outage touches counts from the outage's end on."""
    over = renewed_at + seconds + GRACE_SECONDS
    for outage in sorted(outages, key=lambda outage: outage.since):
        if outage.since <= over and outage.until >= renewed_at:
            over = max(over, outage.until + seconds + GRACE_SECONDS)
    return over


# What the stream was for.


def _purpose(stream: Stream, log: Sequence[Event]) -> Iterator[Violation]:
    if not log or log[-1].type not in TERMINAL:
        return
    end = log[-1].type
    if end == "failed":
        end += f":{log[-1].data.get('error', {}).get('code')}"
    if end not in stream.ends:
        yield Violation("wrong end", f"{stream.name} {stream.id}", f"{log[-1].data}; allowed: {sorted(stream.ends)}")
    text = text_of(log)
    if not stream.text.startswith(text):
        at = next(i for i, character in enumerate(text) if not stream.text.startswith(text[: i + 1]) and character)
        what = f"…{text[max(0, at - 20) : at + 20]!r} where {stream.text[max(0, at - 20) : at + 20]!r} was to come"
        yield Violation("wrong text", f"{stream.name} {stream.id}", what)
    elif end == "completed" and text != stream.text:
        what = f"completed with {len(text)} of {len(stream.text)} characters"
        yield Violation("wrong text", f"{stream.name} {stream.id}", what)


def _recovery(history: History, stream: Stream, log: Sequence[Event]) -> Iterator[Violation]:
    """What a process left behind is ended by the next one soon after its lease is over."""
    if stream.kind == "own" or not log or log[-1].data.get("error", {}).get("code") != "interrupted":
        return
    for reading in history.readings:
        if reading.stream == stream.id and reading.events:
            # Whoever came later could not see it before.
            came_at = max(history.mended_at, reading.events[0].at)
            waited = reading.events[-1].at - came_at
            if waited > history.lease_seconds + GRACE_SECONDS + NEWS_SECONDS:
                yield Violation("late end", f"{reading.name} of {stream.id}", f"waited {waited:.2f} s for it")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:100]} … {text[-100:]}"
