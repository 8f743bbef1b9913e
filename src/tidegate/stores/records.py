"""What stores keep and answer: records of streams and topics, rights to them, and what all stores check alike."""

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
"""Unexpired shares of one stream: a link serves any number of people, and the store is not there to be filled up."""

TOPIC_HISTORY = 1000
"""Events kept of a topic, unless the store is told another number."""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream besides its log. Times are in Unix seconds, to the millisecond.

    `running` says that a provider has been asked; `end` is the terminal event once there is one. `request` and
    `grace` (as in `OnDisconnect`) are for a process that carries the generation on; where a client fills the stream
    itself there is no request, and `lease` is the SHA-256 of its lease's token. After the end grace and lease need not
    be kept, and of the request what `asked_only` leaves.
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
    """What is known of a stream at one moment: its record, and the position after its last event."""

    record: StreamRecord
    tail: Cursor


class Fence(msgspec.Struct, frozen=True):
    """The right to append to a stream, until another process takes it over and begins a new epoch."""

    stream: str
    epoch: str


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key with its scope, and the digest of the body it was used with."""

    key: str
    digest: bytes


class Claimed(msgspec.Struct, frozen=True):
    """The answer to a claim that an earlier request with the same body has made: its stream."""

    stream: str


class Share(msgspec.Struct, frozen=True):
    """The right to read a stream for whoever has the token with this SHA-256, until then (Unix seconds)."""

    digest: bytes
    stream: str
    expires_at: float


class TopicRecord(msgspec.Struct, frozen=True):
    """Where a topic stands: its positions, and the latest event with `state`, however long ago that was.

    `earliest` is just before the first event that is kept; `published_at` is the `at` of the last one.
    """

    id: str
    tail: Cursor
    earliest: Cursor
    state: Entry | None
    published_at: float | None


Found = Page | Gap
Unwatch = Callable[[], object]


def base_of(record: StreamRecord, claim: Claim | None) -> int:
    """What a stream is charged to its owner besides its log and its shares, in bytes."""
    asked = 0 if record.request is None else len(msgspec.json.encode(record.request))
    return STREAM_BYTES + asked + len(msgspec.json.encode(record.metadata)) + (len(claim.key) if claim else 0)


def asked_only(request: GenerationRequest | None) -> GenerationRequest | None:
    """What snapshots show of the request: its question. The rest is only for the model."""
    if request is None or (question := request.question_json) is None:
        return None
    return GenerationRequest(model=request.model, messages=(Message(role="user", content=question),))


def check_room(shares: int) -> None:
    """Raises `TooManyShares` where a stream with so many unexpired shares can have no other."""
    if shares >= MAX_SHARES:
        raise TooManyShares(f"a stream has {MAX_SHARES} share tokens at the most: revoke them, or let some expire")


def check_body(claim: Claim, digest: bytes) -> None:
    """Raises `IdempotencyMismatch` where the key was claimed with another body, which had this digest."""
    if claim.digest != digest:
        raise IdempotencyMismatch("this idempotency key was used with another body", param="Idempotency-Key")
