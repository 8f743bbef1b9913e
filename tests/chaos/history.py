"""What happened in one run, as its clients saw it: all that the checker judges.

Times are in seconds since the run began. A history can be written to a file as JSON and judged again.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TERMINAL = frozenset({"completed", "cancelled", "failed"})
NOTICES = frozenset({"gap", "reconnect", "snapshot"})

Kind = Literal["replay", "python", "openai", "own"]


class Event(msgspec.Struct, frozen=True):
    """One event as it was received. `id` is its own, empty where it had none."""

    type: str
    data: dict[str, Any]
    id: str
    at: float = 0.0

    @property
    def epoch(self) -> str:
        return self.id.partition("-")[0]

    @property
    def offset(self) -> int:
        return int(self.id.partition("-")[2])


class Stay(msgspec.Struct):
    """One connection of a reader to a node, from its head to its end. `ended` says that the stream's end came by it."""

    node: int
    since: float
    until: float
    ended: bool


class Reading(msgspec.Struct):
    """One reader of one stream over all of its connections.

    `after` is the cursor it came with at first. `ended` says that it had the terminal event or was told that there is
    no more; `refused` is the status of an answer that will not change. `asked_again` is the status of a request with
    the last cursor after the end. `stays` are those of its connections that went to one node past all lines.
    """

    name: str
    stream: str
    after: str | None = None
    connections: int = 0
    events: list[Event] = []
    ended: bool = False
    refused: int | None = None
    asked_again: int | None = None
    stays: list[Stay] = []


class Kept(msgspec.Struct):
    """A log, read from its beginning to its end."""

    stream: str
    events: list[Event]
    at: float = 0.0


class Append(msgspec.Struct):
    """One append of a client that fills a stream itself, once it was answered.

    `lease` counts the leases that were given out for the stream from 1; 0 is one that never was. `first_sent_at` is
    when the same append was sent for the first time. `cursor` is the answer's where the append was accepted.
    """

    stream: str
    lease: int
    expected: int
    events: list[dict[str, Any]]
    first_sent_at: float
    sent_at: float
    answered_at: float
    status: int
    cursor: str | None = None
    code: str | None = None


class Lease(msgspec.Struct):
    """A lease that a client was given, for so many seconds from each renewal on."""

    stream: str
    number: int
    seconds: float
    given_at: float


class Created(msgspec.Struct):
    """An answer to a creation that names its stream. `key` is its idempotency key, empty where it had none."""

    key: str
    stream: str
    at: float


class Look(msgspec.Struct):
    """A stream as one answer described it at some time; `text` where the answer had it."""

    stream: str
    source: str
    at: float
    status: str
    cursor: str
    text: str | None = None


class Outage(msgspec.Struct):
    """The server, or the node, did nothing for a while: it was dead, stopped, or could not write."""

    since: float
    until: float
    node: int = 0
    kind: str = ""


class Failover(msgspec.Struct):
    """A replica was promoted. It had what was acknowledged before `since`; from then on, to `until`, perhaps not."""

    since: float
    until: float


class Death(msgspec.Struct):
    """A node was gone at once, with the streams that it filled."""

    node: int
    at: float
    streams: list[str]


class Acquired(msgspec.Struct):
    """A node has taken over a stream."""

    stream: str
    at: float


class Cancelling(msgspec.Struct):
    """One request for the cancel of a stream, that a node has answered."""

    stream: str
    node: int
    asked_at: float
    answered_at: float
    status: int


class Revoked(msgspec.Struct):
    """That the share tokens of a stream are void has been answered."""

    stream: str
    at: float


class Published(msgspec.Struct):
    """A message of this number has been accepted by a topic, at this position."""

    topic: str
    number: int
    cursor: str
    at: float = 0.0


class Fired(msgspec.Struct):
    """A fault that took effect."""

    kind: str
    at: float
    detail: str = ""


class Stream(msgspec.Struct):
    """What is expected of a stream. `text` is what it holds when it is complete.

    `ends` are the ends it may have: a terminal event's type, for `failed` with its code (`failed:interrupted`).
    `ended_at` is when the store had the end, where that is known; `grace` is that of a stream whose every owner reader
    is known, in seconds.
    """

    id: str
    name: str
    kind: Kind
    text: str
    ends: set[str]
    ended_at: float | None = None
    grace: float | None = None


class Problem(msgspec.Struct):
    """Something that the harness itself has found: a server that died, an answer that never may be."""

    rule: str
    subject: str
    what: str


class Violation(msgspec.Struct, frozen=True):
    """A promise that was not kept."""

    rule: str
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.what}"


class History(msgspec.Struct):
    """One run. From `mended_at` on nothing was done to the nodes and their lines any more.

    `visits` are readings that may leave, or be sent away, before the end. `members` are readings of topics, `rooms`
    the last ones, by the harness itself.
    """

    seed: int
    lease_seconds: float = 0.0
    mended_at: float = 0.0
    streams: list[Stream] = []
    readings: list[Reading] = []
    visits: list[Reading] = []
    logs: list[Kept] = []
    appends: list[Append] = []
    leases: list[Lease] = []
    created: list[Created] = []
    looks: list[Look] = []
    outages: list[Outage] = []
    failovers: list[Failover] = []
    deaths: list[Death] = []
    acquired: list[Acquired] = []
    cancellings: list[Cancelling] = []
    revoked: list[Revoked] = []
    published: list[Published] = []
    members: list[Reading] = []
    rooms: list[Reading] = []
    fired: list[Fired] = []
    problems: list[Problem] = []


def encode(history: History) -> bytes:
    return msgspec.json.encode(history)


def decode(data: bytes) -> History:
    return msgspec.json.decode(data, type=History)
