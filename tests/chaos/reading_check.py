"""Judges what one reader of a stream was sent: its log, once, in order, to the end.

Pure, and a part of the checker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .history import NOTICES, TERMINAL, Event, Reading, Violation
from .losses import Losses

MERGEABLE = frozenset({"delta", "reasoning"})

NOT_FOUND = 404


def of_reading(reading: Reading, log: Sequence[Event], losses: Losses) -> Iterator[Violation]:
    """Of a reader that stays to the end."""
    subject = f"{reading.name} of {reading.stream}"
    if reading.refused == NOT_FOUND and losses.may_miss(reading.stream):
        return
    if reading.refused is not None:
        yield Violation("refused", subject, f"was answered {reading.refused}")
    if not log:
        return
    reader = _Reader(subject, reading, log, losses)
    yield from reader.check()
    if not reading.ended:
        yield Violation("missing end", subject, f"never reached the end; last was {_last(reading)}")
    elif reading.asked_again not in (None, 204) and not reader.has_lost:
        yield Violation("missing end", subject, f"with its last cursor it was answered {reading.asked_again}, not 204")


def of_visit(visit: Reading, log: Sequence[Event], losses: Losses) -> Iterator[Violation]:
    """Of a reader that may leave, or be sent away, before the end. A stream that was deleted has no log."""
    subject = f"{visit.name} of {visit.stream}"
    return _Reader(subject, visit, log, losses).check() if log else _order(subject, visit)


def _order(subject: str, visit: Reading) -> Iterator[Violation]:
    position = 0
    for event in visit.events:
        if event.type not in NOTICES and event.offset <= position:
            yield Violation("order", subject, f"{event.id} ({event.type}) after {position}")
        position = event.offset


class _Reader:
    """Follows what a reader was sent along the log."""

    def __init__(self, subject: str, reading: Reading, log: Sequence[Event], losses: Losses) -> None:
        self._subject = subject
        self._reading = reading
        self._log = log
        self._losses = losses
        self._ids = {event.id for event in log}
        self._position = 0
        self._ended = False
        self._lost: Event | None = None
        # When it was sent what it stands at: a node that has it may give it back to a store that has lost it.
        self._told_at = 0.0

    @property
    def has_lost(self) -> bool:
        """Whether the store has lost where the reader stands."""
        return self._lost is not None

    def check(self) -> Iterator[Violation]:
        after = self._reading.after
        foreign = after is not None and after not in self._ids
        if after is not None and not foreign:
            self._position = int(after.partition("-")[2])
        for index, event in enumerate(self._reading.events):
            if event.type == "gap":
                yield from self._gap(event, foreign=foreign)
                foreign = False
            elif event.type == "snapshot":
                yield from self._snapshot(event, first=index == 0)
            elif event.type != "reconnect":
                yield from self._event(event)
        if foreign:
            yield self._violation("gap", f"came with {after}, which is not kept, and was not told so")
        if self._reading.ended and not self._is_at_an_end:
            yield self._violation("missing end", f"stopped at {self._position} of {len(self._log)}")

    @property
    def _is_at_an_end(self) -> bool:
        return self._ended if self.has_lost else self._position == len(self._log)

    def _gap(self, event: Event, *, foreign: bool) -> Iterator[Violation]:
        if self._lost is not None and event.offset > (kept := self._kept_before(self._lost)):
            yield self._violation("gap", f"goes on after {event.id}, though the log has lost what is after {kept}")
        elif self._lost is None and not foreign and not self._losses.may_hit(self._told_at):
            yield self._violation("gap", f"{event.data} though {self._reading.after or 'the beginning'} is kept")
        self._position, self._ended, self._lost = event.offset, False, None

    def _kept_before(self, lost: Event) -> int:
        """The last offset that the log has of the epoch of a lost event, or had before that epoch began."""
        same = [event.offset for event in self._log if event.epoch == lost.epoch]
        return max(same, default=lost.offset - 1)

    def _event(self, event: Event) -> Iterator[Violation]:
        if self._ended:
            yield self._violation("event after the end", f"{event.type} {event.id}")
        is_lost = event.id not in self._ids and self._losses.may_hit(event.at)
        if self._lost is not None and not is_lost:
            yield self._violation("lost in silence", f"{event.id} after {self._lost.id}, which the log has lost")
        elif event.offset <= self._position:
            yield self._violation("order", f"{event.id} ({event.type}) after {self._position}")
        elif is_lost:
            self._lost = event
        elif event.offset > len(self._log):
            yield self._violation("taken back", f"{event.id} ({event.type}) is not in the log of {len(self._log)}")
        else:
            yield from self._compare(event, self._log[self._position : event.offset])
        self._told_at = event.at
        self._position = max(self._position, event.offset)
        self._ended = event.type in TERMINAL

    def _compare(self, event: Event, stretch: Sequence[Event]) -> Iterator[Violation]:
        last = stretch[-1]
        if event.id != last.id:
            yield self._violation("taken back", f"{event.id} is {last.id} in the log")
        elif len(stretch) == 1:
            if content_of(event) != content_of(last):
                yield self._violation("taken back", f"{event.id} was {event.data}, the log has {last.data}")
        elif event.type not in MERGEABLE or {each.type for each in stretch} != {event.type}:
            yield self._violation("left out", f"{len(stretch) - 1} events before {event.id} ({event.type})")
        elif event.data.get("text") != (joined := "".join(each.data["text"] for each in stretch)):
            yield self._violation("left out", f"{event.id} merges {event.data.get('text')!r}, the log has {joined!r}")

    def _snapshot(self, event: Event, *, first: bool) -> Iterator[Violation]:
        if not first:
            yield self._violation("order", f"a snapshot at {event.id} after {self._position}")
        if event.id in self._ids:
            if event.data.get("text") != text_of(self._log[: event.offset]):
                yield self._violation("left out", f"the snapshot at {event.id} is not the text up to there")
        elif self._losses.may_hit(event.at):
            self._lost = event
        else:
            yield self._violation("taken back", f"a snapshot at {event.id}, which the log does not have")
        self._told_at = event.at
        self._position = event.offset

    def _violation(self, rule: str, what: str) -> Violation:
        return Violation(rule, self._subject, what)


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.data.get("text", "") for event in events if event.type == "delta")


def content_of(event: Event) -> tuple[str, dict[str, Any], str]:
    """All of an event but when it came."""
    return event.type, event.data, event.id


def _last(reading: Reading) -> str:
    return f"{reading.events[-1].type} {reading.events[-1].id}" if reading.events else "nothing"
