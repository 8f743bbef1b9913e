"""Rows to records and entries, and the other way round."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, GenerationRequest, Terminal, decode
from tidegate.core.fold import status_of
from tidegate.core.log import Entry, Log, epoch_at
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Claim, StreamRecord

Epochs = Sequence[tuple[str, int]]

COLUMNS = 'key, id, owner, model, running, created_at, ended_at, tail, grace, lease, epochs, metadata, "end", request'

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


class Row(msgspec.Struct, frozen=True):
    """A stream without its log, as the file has it; `tail` is None while the stream is live."""

    key: int
    record: StreamRecord
    epochs: Epochs
    tail: int | None

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
    """As the column has it."""
    return None if request is None else msgspec.json.encode(request)


def to_row(values: Sequence[Any]) -> Row:
    """Reads `COLUMNS`. Raises `sqlite3.DatabaseError` where they make no sense."""
    key, id, owner, model, running, created_at, ended_at, tail, grace, lease, epochs, metadata, end, request = values
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
        return Row(key, record, _epochs.decode(epochs), tail)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(f"the row of stream {id} is damaged: {error}") from None


def to_json(encoded: Iterable[bytes]) -> bytes:
    """The events of one batch."""
    return b"[" + b",".join(encoded) + b"]"


def to_log(row: Row, batches: Iterable[tuple[int, bytes]]) -> Log:
    """The log from its batches, in order. Raises `sqlite3.DatabaseError` where one is missing or makes no sense."""
    entries: list[Entry] = []
    try:
        for last, events in batches:
            for raw in _events.decode(events):
                event: Event = decode(raw)  # type: ignore[arg-type]
                offset = len(entries) + 1
                entries.append(Entry(epoch_at(row.epochs, offset), offset, event, len(raw)))  # type: ignore[arg-type]
            if last != len(entries):
                raise sqlite3.DatabaseError(f"the log of stream {row.record.id} is not whole before {last}")
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(f"the log of stream {row.record.id} is damaged: {error}") from None
    if not entries or row.tail not in (None, len(entries)):
        raise sqlite3.DatabaseError(f"the log of stream {row.record.id} is not whole at its end")
    return Log.restore(row.epochs, entries)


def not_found(stream: str) -> StreamNotFound:
    """What every call on a stream that is not there raises."""
    return StreamNotFound(f"there is no stream {stream[:64]!r}")
