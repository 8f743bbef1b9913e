"""Converts rows to records and entries, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import GenerationRequest, Terminal, decode
from tidegate.core.fold import status_of
from tidegate.core.log import Entry, Log, epoch_at
from tidegate.errors import StreamNotFound
from tidegate.stores.ledger import SHARE_BYTES, STREAM_BYTES
from tidegate.stores.records import Claim, StreamRecord

Epochs = Sequence[tuple[str, int]]

COLUMNS = 'key, id, owner, model, running, created_at, ended_at, tail, grace, lease, epochs, metadata, "end", request'

LISTED = COLUMNS.replace(", request", ", iif(length(request) > 4096, NULL, request), length(request) > 4096")
"""The columns for a list, e.g. of a hundred streams, which leaves out long requests."""

CHARGE = (
    f"{STREAM_BYTES} + coalesce(size, 0) + length(metadata) + coalesce(length(request), 0) "
    f"+ coalesce(length(claim), 0) + {SHARE_BYTES} * (SELECT count(*) FROM shares WHERE shares.stream = streams.key)"
)
"""The bytes that an ended stream's owner is charged for it; those of a live stream without its log."""

_INSERT = """
INSERT INTO streams (key, id, owner, model, status, running, created_at, grace, lease, claim, digest, epochs, metadata,
    request)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_epochs: msgspec.json.Decoder[list[tuple[str, int]]] = msgspec.json.Decoder(list[tuple[str, int]])
_metadata: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
_end: msgspec.json.Decoder[Terminal] = msgspec.json.Decoder(Terminal)
_request: msgspec.json.Decoder[GenerationRequest] = msgspec.json.Decoder(GenerationRequest)
_events: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


class Dropped(msgspec.Struct, frozen=True):
    """A stream that was deleted from the file. `size` is what an ended stream was charged, 0 for a live one."""

    stream: str
    owner: str
    size: int


class Piece(msgspec.Struct, frozen=True):
    """Some entries of a log, up to the offset `last`, that become a batch. It begins with what the batch whose last
    offset is `replaces` has, unless that is None."""

    key: int
    last: int
    entries: Sequence[Entry]
    replaces: int | None


class Row(msgspec.Struct, frozen=True):
    """A stream without its log, as the file has it; `tail` is None while the stream is live.

    A `partial` row lacks the request, which is too long to be read for a list.
    """

    key: int
    record: StreamRecord
    epochs: Epochs
    tail: int | None
    partial: bool = False

    @property
    def cursor(self) -> Cursor | None:
        """The position after the last event of a stream that has ended."""
        return Cursor(epoch_at(self.epochs, self.tail), self.tail) if self.tail is not None else None


def insert(connection: Connection, key: int, record: StreamRecord, epochs: Epochs, claim: Claim | None) -> None:
    """Writes the row of a new stream."""
    connection.execute(
        _INSERT,
        (
            key,
            record.id,
            record.owner,
            record.model,
            status_of(record.end, running=record.running),
            record.running,
            record.created_at,
            record.grace,
            record.lease,
            claim.key if claim is not None else None,
            claim.digest if claim is not None else None,
            msgspec.json.encode(epochs),
            msgspec.json.encode(record.metadata),
            request_json(record.request),
        ),
    )


def request_json(request: GenerationRequest | None) -> bytes | None:
    """The value of the column `request`."""
    return None if request is None else msgspec.json.encode(request)


def to_row(values: Sequence[Any]) -> Row:
    """Reads the values of `COLUMNS` or `LISTED`. Raises `sqlite3.DatabaseError` where they are damaged."""
    key, id, owner, model, running, created_at, ended_at, tail, grace, lease, epochs, metadata, *rest = values
    end, request, *partial = rest
    try:
        record = StreamRecord(
            id=id,
            owner=owner,
            model=model,
            created_at=created_at,
            metadata=_metadata.decode(metadata),
            running=bool(running),
            request=_request.decode(request) if request is not None else None,
            grace=grace,
            lease=lease,
            end=_end.decode(end) if end is not None else None,
            ended_at=ended_at,
        )
        return Row(key, record, _epochs.decode(epochs), tail, partial=any(partial))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(f"the row of stream {id} is damaged: {error}") from None


def to_epochs(column: bytes) -> Epochs:
    """Reads the column `epochs`."""
    return _epochs.decode(column)


def to_json(entries: Iterable[Entry]) -> bytes:
    """The entries' events as one batch: a JSON array."""
    return to_batch([entry.json for entry in entries])


def to_batch(events: Iterable[bytes | msgspec.Raw]) -> bytes:
    """The events, each in its JSON form, as one batch."""
    return b"[" + b",".join(events) + b"]"


def decoded(batch: bytes, epochs: Epochs, last: int) -> list[Entry]:
    """The entries of one batch. Raises `sqlite3.DatabaseError` where it is damaged."""
    try:
        found = _events.decode(batch)
        first = last - len(found) + 1
        return [_entry(raw, epochs, first + n) for n, raw in enumerate(found)]
    except (msgspec.DecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a batch of events before {last} is damaged: {error}") from None


def _entry(raw: msgspec.Raw, epochs: Epochs, offset: int) -> Entry:
    json = bytes(raw)
    decode(json)
    return Entry(epoch_at(epochs, offset), offset, json)


def to_log(row: Row, batches: Iterable[tuple[int, bytes]]) -> Log:
    """The log, from its batches in order. Raises `sqlite3.DatabaseError` where one is missing or damaged."""
    entries: list[Entry] = []
    try:
        for last, events in batches:
            for raw in _events.decode(events):
                entries.append(_entry(raw, row.epochs, len(entries) + 1))
            if last != len(entries):
                raise sqlite3.DatabaseError(f"the log of stream {row.record.id} is not whole before {last}")
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(f"the log of stream {row.record.id} is damaged: {error}") from None
    if not entries or row.tail not in (None, len(entries)):
        raise sqlite3.DatabaseError(f"the log of stream {row.record.id} is not whole at its end")
    return Log.restore(row.epochs, entries)


def not_found(stream: str) -> StreamNotFound:
    """The error of every call for a stream that does not exist."""
    return StreamNotFound(f"there is no stream {stream[:64]!r}")
