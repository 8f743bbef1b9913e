"""Records of streams and topics, fences, claims and shares, as all stores keep them; checks that all stores make."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import GenerationRequest, Message, Terminal
from tidegate.core.log import Entry, Page
from tidegate.core.notices import Gap
from tidegate.errors import IdempotencyMismatch, TooManyShares
from tidegate.stores.ledger import STREAM_BYTES

MAX_SHARES = 100
"""Unexpired shares of one stream: one link serves any number of people, and shares must not fill the store."""

TOPIC_HISTORY = 1000
"""How many events of a topic are kept, by default."""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream besides its log. Times are in Unix seconds, to the millisecond.

    `running` says that a provider has been asked; `end` is the terminal event once there is one. `request` and
    `grace` (as in `OnDisconnect`) are for a process that continues the generation; a client stream has no request, and
    `lease` is the SHA-256 of its lease's token. After the end, grace and lease need not be kept, and of the request
    only what `asked_only` returns.
    """

    id: str
    owner: str
    model: str
    created_at: float
    metadata: dict[str, str] = {}
    running: bool = False
    request: GenerationRequest | None = None
    grace: float | None = None
    lease: bytes = b""
    end: Terminal | None = None
    ended_at: float | None = None


class Look(msgspec.Struct, frozen=True):
    """A stream at one moment: its record, and the position after its last event."""

    record: StreamRecord
    tail: Cursor


class Fence(msgspec.Struct, frozen=True):
    """The right to append to a stream, until another process takes the stream over and begins a new epoch."""

    stream: str
    epoch: str


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key, its scope included, and the SHA-256 of the body it was used with."""

    key: str
    digest: bytes


class Claimed(msgspec.Struct, frozen=True):
    """The stream of an earlier request that has made the same claim."""

    stream: str


class Share(msgspec.Struct, frozen=True):
    """The right of a share token's holder to read a stream: `digest` is the token's SHA-256, times are Unix seconds."""

    digest: bytes
    stream: str
    expires_at: float


class TopicRecord(msgspec.Struct, frozen=True):
    """A topic at one moment: its positions, and the latest event with `state`, whether or not the history has it.

    `earliest` is just before the first event that is kept; `published_at` is the `at` of the last event.
    """

    id: str
    tail: Cursor
    earliest: Cursor
    state: Entry | None
    published_at: float | None


Found = Page | Gap
Unwatch = Callable[[], object]


def base_of(record: StreamRecord, claim: Claim | None) -> int:
    """The bytes a stream's owner is charged for it besides its log and its shares."""
    asked = 0 if record.request is None else len(msgspec.json.encode(record.request))
    return STREAM_BYTES + asked + len(msgspec.json.encode(record.metadata)) + (len(claim.key) if claim else 0)


def asked_only(request: GenerationRequest | None) -> GenerationRequest | None:
    """The request without everything that snapshots do not show: only its question, if it has one, is left."""
    if request is None or (question := request.question_json) is None:
        return None
    return GenerationRequest(model=request.model, messages=(Message(role="user", content=question),))


def check_room(shares: int) -> None:
    """Raises `TooManyShares` where a stream with so many unexpired shares cannot have another."""
    if shares >= MAX_SHARES:
        raise TooManyShares(f"a stream has {MAX_SHARES} share tokens at the most: revoke them, or let some expire")


def check_body(claim: Claim, digest: bytes) -> None:
    """Raises `IdempotencyMismatch` unless the key was claimed with the same body; `digest` is the earlier body's."""
    if claim.digest != digest:
        raise IdempotencyMismatch("this idempotency key was used with another body", param="Idempotency-Key")
