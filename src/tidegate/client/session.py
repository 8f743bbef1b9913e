"""Follows one stream or topic across connections: what to ask for, and what to make of each answer, event and break.

Pure: no sockets and no clocks; randomness is passed in. `conformance/session.json` says in vectors what it does, and
the JavaScript client's session does the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from tidegate.client.head import Head
from tidegate.core.backoff import ATTEMPTS, MAX_DELAY, MAX_FLOOR, Backoff
from tidegate.errors import UpstreamMalformed

TERMINAL_EVENTS = frozenset({"completed", "cancelled", "failed"})

HEARTBEAT_SECONDS = 15.0
"""A server's default, until the server has told its own."""

SILENT_BEATS = 1.6
"""After so many heartbeats without a byte a connection is given up, so that it is replaced within two."""

REPEATED_SECONDS = 1.0
"""The least wait of a reconnect that follows another one, with nothing new in between: else they were a hot loop."""

PLACED = frozenset({"gap", "reconnect", "snapshot", "subscribed"})
"""Events that begin a connection, or end it, wherever the position is: none of them is a duplicate."""

_POSITION = re.compile(r"(.+)-([0-9]{1,15})")
_HEARTBEAT = re.compile(r"heartbeat=([0-9]{1,9}(?:\.[0-9]{1,9})?)")


class Event(NamedTuple):
    """What an application sees of a stream. `cursor` is the position after it, empty where there is none yet."""

    type: str
    data: Any
    cursor: str


class Asked(NamedTuple):
    """What a connection asks for: what comes after a cursor, from the beginning where it is empty; or the whole."""

    after: str
    snapshot: bool


@dataclass(slots=True)
class Counts:
    """What a session has gone through. `reconnects` are the answers with events after the first."""

    events: int = 0
    duplicates: int = 0
    gaps: int = 0
    reconnects: int = 0


class _Reconnect(msgspec.Struct):
    after_ms: float


class Session:
    """One reader of one stream, or topic, however many connections it takes.

    For each connection call `ask`, `answered`, then `comment`, `retry` and `event` with what comes, until `leaving`:
    then the connection has nothing more to give. When it is refused, breaks or is left, `lost` says how long to wait
    before the next. `silence` is how many seconds without a byte a connection is given. `random` returns a number from
    0 to 1. The last event that was shown is `shown`, and all of the position: who is interrupted finds it there.
    """

    def __init__(
        self,
        *,
        is_topic: bool = False,
        after: str | None = None,
        snapshot: bool = False,
        attempts: int | None = ATTEMPTS,
        max_delay: float = MAX_DELAY,
        random: Callable[[], float],
    ) -> None:
        self.shown: Event | None = None
        self.silence = SILENT_BEATS * HEARTBEAT_SECONDS
        self.counts = Counts()
        self._after = after or ""
        self._is_topic = is_topic
        self._whole = snapshot
        self._has_nothing_left = False
        self._is_sent_away = False
        self._backoff = Backoff(random, attempts=attempts, max_delay=max_delay)
        self._asked_to_wait: float | None = None
        self._retry_after = 0.0
        self._answers = 0
        self._comments = 0

    @property
    def cursor(self) -> str:
        """The position after the last event that was shown."""
        return self._after if self.shown is None else self.shown.cursor

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to ask for."""
        is_over = not self._is_topic and self.shown is not None and self.shown.type in TERMINAL_EVENTS
        return is_over or self._has_nothing_left

    @property
    def offline(self) -> bool:
        """Whether so many tries have failed in a row that nothing more is asked until `wake`."""
        return self._backoff.offline

    @property
    def leaving(self) -> bool:
        """Whether this connection has nothing more to give."""
        return self.ended or self._asked_to_wait is not None

    def ask(self) -> Asked:
        """What the next connection asks for."""
        self._asked_to_wait = None
        self._retry_after = 0.0
        self._comments = 0
        return Asked("", True) if self._whole else Asked(self.cursor, False)

    def answered(self, head: Head) -> Literal["events", "ended", "retry", "refused"]:
        """What an answer means; a refusal is one that another try would not change."""
        if head.status == 204:
            self._has_nothing_left = True
            return "ended"
        if head.may_pass:
            self._retry_after = head.retry_after
            return "retry"
        if not head.has_events:
            return "refused"
        self.counts.reconnects += self._answers > 0
        self._answers += 1
        return "events"

    def comment(self, text: str) -> None:
        """A comment has come: the first says the heartbeat, any other that the connection has held."""
        self._comments += 1
        if self._comments > 1:
            self._backoff.reset()
        told = _HEARTBEAT.fullmatch(text)
        if told is not None and (seconds := float(told[1])) > 0:
            self.silence = SILENT_BEATS * min(seconds, MAX_FLOOR)

    def retry(self, retry_ms: int) -> None:
        """The server asked for waits that are no shorter (`retry:`)."""
        self._backoff.at_least(retry_ms)

    def event(self, kind: str, text: str, id: str | None) -> Event | None:
        """What the application is shown of an event with this data; `id` is that of its own block, if it has one.

        Raises `UpstreamMalformed`.
        """
        if self.leaving:
            return None
        if id and kind not in PLACED and self._is_behind(id):
            self._backoff.reset()
            self.counts.duplicates += 1
            return None
        data = _parsed(kind, text)
        self._backoff.reset()
        if kind == "reconnect":
            self._asked_to_wait = max(_after(data), REPEATED_SECONDS if self._is_sent_away else 0.0)
            self._is_sent_away = True
            return None
        self._is_sent_away = self._is_sent_away and kind in PLACED
        self.counts.events += 1
        if kind == "gap":
            self.counts.gaps += 1
        if kind == "gap" and not self._is_topic and not self._whole:
            self._whole, self._asked_to_wait, id = True, 0.0, None
        self.shown = Event(kind, data, id or self.cursor)
        if id:
            self._whole = False
        return self.shown

    def lost(self) -> float | None:
        """How long to wait before the next connection, in seconds; None where there is none: `ended`, or `offline`."""
        if self.ended:
            return None
        if self._asked_to_wait is not None:
            return self._asked_to_wait
        return self._backoff.failed(self._retry_after)

    def wake(self) -> None:
        """Begins to count anew: there is a sign that the network is back, or the user asks."""
        self._backoff.reset()

    def _is_behind(self, id: str) -> bool:
        ours, theirs = _POSITION.fullmatch(self.cursor), _POSITION.fullmatch(id)
        if ours is None or theirs is None:
            return id == self.cursor
        return ours[1] == theirs[1] and int(theirs[2]) <= int(ours[2])


def _parsed(kind: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    # Halves of surrogate pairs, which models do write, are JSON, but not to msgspec.
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UpstreamMalformed(f"the server sent an event {kind!r} that cannot be read: {error}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _after(data: object) -> float:
    try:
        after_ms = msgspec.convert(data, _Reconnect).after_ms
    except msgspec.ValidationError as error:
        raise UpstreamMalformed(f"a reconnect event without after_ms: {error}") from error
    return min(max(after_ms / 1000, 0.0), MAX_FLOOR)
