"""Events of topics as rows: written together with everything else that waits, and read when a topic is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

import msgspec

from tidegate.core.events import Published
from tidegate.core.log import Entry, epoch_at
from tidegate.stores.records import Claim
from tidegate.stores.sqlite.rows import Epochs

ROWS = (64, 16, 4, 1)
"""Events per statement, as for the batches of streams (`writer.ROWS`)."""

_INSERT = {
    count: "INSERT INTO published (topic, offset, event, claim, digest) VALUES " + ",".join(["(?,?,?,?,?)"] * count)
    for count in ROWS
}

_UPSERT = """
INSERT INTO topics (key, id, filler, epochs, tail, size, published_at, state_epoch, state_offset, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    filler = excluded.filler, epochs = excluded.epochs, tail = excluded.tail, size = excluded.size,
    published_at = excluded.published_at, state_epoch = coalesce(excluded.state_epoch, state_epoch),
    state_offset = coalesce(excluded.state_offset, state_offset), state = coalesce(excluded.state, state)
"""

_event: msgspec.json.Decoder[Published] = msgspec.json.Decoder(Published)
_epochs: msgspec.json.Decoder[list[tuple[str, int]]] = msgspec.json.Decoder(list[tuple[str, int]])


class PublishedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event, and its topic as it is once the event is written.

    `size` is that of the history, in bytes; events up to the offset `forgotten` are no longer kept.
    """

    key: int
    topic: str
    filler: str
    epochs: Epochs
    entry: Entry
    event: Published
    claim: Claim | None
    size: int
    forgotten: int


class TopicRows(msgspec.Struct, frozen=True):
    """A topic as the file has it; `entries` may be more than the history."""

    key: int
    filler: str
    epochs: Epochs
    published_at: float
    state: Entry | None
    entries: Sequence[tuple[Entry, Published, Claim | None]]


def insert(connection: Connection, rows: list[PublishedRow]) -> None:
    """Writes the events, and each topic once, and clears the list."""
    at = 0
    for count, statement in _INSERT.items():
        while len(rows) - at >= count:
            connection.execute(statement, [value for row in rows[at : at + count] for value in _values(row)])
            at += count
    states = {row.key: row for row in rows if row.event.state}
    for row in {row.key: row for row in rows}.values():
        _upsert(connection, row, states.get(row.key))
    rows.clear()


def topic_of(connection: Connection, topic: str) -> TopicRows | None:
    """The topic, if it has been published to. Raises `sqlite3.DatabaseError` where its rows are damaged."""
    found = connection.execute(
        "SELECT key, filler, epochs, tail, published_at, state_epoch, state_offset, state FROM topics WHERE id = ?",
        (topic,),
    ).fetchone()
    if found is None:
        return None
    key, filler, epochs, tail, published_at, *state = found
    rows = connection.execute(
        "SELECT offset, event, claim, digest FROM published WHERE topic = ? ORDER BY offset", (key,)
    ).fetchall()
    try:
        since = _epochs.decode(epochs)
        kept = [_entry(since, *row) for row in rows]
        if [entry.offset for entry, _, _ in kept] != list(range(tail - len(kept) + 1, tail + 1)) or not kept:
            raise sqlite3.DatabaseError(f"the history of {topic} is not whole")
        last = _state(*state) if state[0] is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, StopIteration) as error:
        raise sqlite3.DatabaseError(f"the rows of {topic} are damaged: {error}") from None
    return TopicRows(key, filler, since, published_at, last, kept)


def unpublished_since(connection: Connection, before: float, skip: int) -> Sequence[tuple[str, int]]:
    """Some topics that were last published to before this time, oldest first, and the size of each in bytes."""
    return connection.execute(
        "SELECT id, size FROM topics WHERE published_at < ? ORDER BY published_at LIMIT 100 OFFSET ?", (before, skip)
    ).fetchall()


def between(connection: Connection, key: int, epochs: Epochs, after: int, last: int) -> Sequence[Entry]:
    """The topic's events in the file after the offset `after`, up to `last`."""
    where = "WHERE topic = ? AND offset > ? AND offset <= ? ORDER BY offset"
    rows = connection.execute(f"SELECT offset, event, NULL, NULL FROM published {where}", (key, after, last))
    try:
        return [_entry(epochs, *row)[0] for row in rows]
    except (msgspec.DecodeError, StopIteration) as error:
        raise sqlite3.DatabaseError(f"the history of topic {key} is damaged: {error}") from None


def sizes(connection: Connection) -> Sequence[tuple[str, int]]:
    """Each topic, and the size of its history in bytes."""
    return connection.execute("SELECT id, size FROM topics ORDER BY published_at").fetchall()


def last_topic(connection: Connection) -> int:
    """The key of the newest topic; 0 where there is none."""
    return connection.execute("SELECT coalesce(max(key), 0) FROM topics").fetchone()[0]


def _values(row: PublishedRow) -> tuple[Any, ...]:
    claim = row.claim
    key, digest = (claim.key, claim.digest) if claim is not None else (None, None)
    return row.key, row.entry.offset, row.entry.json, key, digest


def _upsert(connection: Connection, row: PublishedRow, state: PublishedRow | None) -> None:
    kept = (state.entry.epoch, state.entry.offset, state.entry.json) if state is not None else (None, None, None)
    epochs = msgspec.json.encode(row.epochs)
    entry = row.entry
    connection.execute(_UPSERT, (row.key, row.topic, row.filler, epochs, entry.offset, row.size, row.event.at, *kept))
    if row.forgotten:
        connection.execute("DELETE FROM published WHERE topic = ? AND offset <= ?", (row.key, row.forgotten))


def _entry(
    epochs: Epochs, offset: int, encoded: bytes, key: str | None, digest: bytes | None
) -> tuple[Entry, Published, Claim | None]:
    event = _event.decode(encoded)
    claim = Claim(key, digest) if key is not None and digest is not None else None
    return Entry(epoch_at(epochs, offset), offset, encoded), event, claim


def _state(epoch: str, offset: int, encoded: bytes) -> Entry:
    _event.decode(encoded)
    return Entry(epoch, offset, encoded)
