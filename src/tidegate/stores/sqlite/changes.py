"""The statements that change the file; all of them run inside the writer's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sqlite3 import Connection

import msgspec

from tidegate.core.events import GenerationRequest, Terminal
from tidegate.core.fold import status_of
from tidegate.stores.records import Claim, Claimed, Share, StreamRecord, check_room
from tidegate.stores.sqlite import journal
from tidegate.stores.sqlite.reader import claimed
from tidegate.stores.sqlite.rows import CHARGE, Dropped, Epochs, Piece, insert, not_found, request_json, to_json

EXPIRED_STREAMS = 100
EXPIRED_BYTES = 1 << 20
"""The most that is forgotten in one transaction, but at least one stream: appends wait for it, some 10 milliseconds."""

VACUUMED_PAGES = 512
"""Pages that are given back to the disk in one transaction, for the same reason."""

FREE_SHARE = 8
"""An eighth of the file may be free: new data needs it, and giving it back means moving the pages behind it."""


def create(
    connection: Connection,
    key: int,
    record: StreamRecord,
    epochs: Epochs,
    events: bytes,
    last: int,
    claim: Claim | None,
) -> Claimed | None:
    """Inserts a stream with its first events, unless the claim has an earlier one. Raises `IdempotencyMismatch`."""
    if claim is not None and (earlier := claimed(connection, claim)) is not None:
        return earlier
    insert(connection, key, record, epochs, claim)
    connection.execute("INSERT INTO batches (stream, last, events) VALUES (?, ?, ?)", (key, last, events))
    return None


def acquire(connection: Connection, key: int, epochs: Epochs, lease: bytes) -> None:
    """Writes the epochs, and the lease if one is given."""
    connection.execute(
        "UPDATE streams SET epochs = ?, lease = coalesce(nullif(?, x''), lease) WHERE key = ?",
        (msgspec.json.encode(epochs), lease, key),
    )


def mark_running(connection: Connection, key: int) -> None:
    """Notes that a provider has been asked; a stream that has ended keeps its status."""
    connection.execute(
        "UPDATE streams SET running = 1, status = iif(ended_at IS NULL, 'running', status) WHERE key = ?", (key,)
    )


def end(
    connection: Connection,
    key: int,
    end: Terminal,
    ended_at: float,
    tail: int,
    size: int,
    asked: GenerationRequest | None,
) -> int:
    """Ends a stream whose last events are in the journal.

    What only a continuation would need is dropped, and `asked` replaces the request. Returns what the owner is charged
    from now on.
    """
    connection.execute(
        'UPDATE streams SET status = ?, "end" = ?, ended_at = ?, tail = ?, size = ?, request = ?, grace = NULL, '
        "lease = x'' WHERE key = ?",
        (status_of(end, running=True), msgspec.json.encode(end), ended_at, tail, size, request_json(asked), key),
    )
    return connection.execute(f"SELECT {CHARGE} FROM streams WHERE key = ?", (key,)).fetchone()[0]


def compact(connection: Connection, pieces: Iterable[Piece], trimmed: tuple[int, int] | None) -> None:
    """Writes pieces of logs as batches, and deletes rows of the journal, from the first to the last of `trimmed`.

    A stream that was forgotten meanwhile is passed over.
    """
    for piece in pieces:
        if piece.replaces is not None:
            connection.execute("DELETE FROM batches WHERE stream = ? AND last = ?", (piece.key, piece.replaces))
        connection.execute(
            "INSERT INTO batches (stream, last, events) SELECT key, ?, ? FROM streams WHERE key = ?",
            (piece.last, to_json(piece.entries), piece.key),
        )
    if trimmed is not None:
        journal.trim(connection, *trimmed)


def share(connection: Connection, share: Share, now: float) -> tuple[str, int]:
    """Inserts a share and deletes the stream's expired ones. Raises `StreamNotFound` or `TooManyShares`.

    Returns the stream's owner, and how many more shares the stream has.
    """
    key, owner = _found(connection, share.stream)
    valid = "SELECT count(*) FROM shares WHERE stream = ? AND expires_at > ?"
    check_room(connection.execute(valid, (key, now)).fetchone()[0])
    gone = connection.execute("DELETE FROM shares WHERE stream = ? AND expires_at <= ?", (key, now)).rowcount
    connection.execute(
        "INSERT INTO shares (digest, stream, expires_at) VALUES (?, ?, ?)", (share.digest, key, share.expires_at)
    )
    return owner, 1 - gone


def unshare(connection: Connection, stream: str) -> tuple[str, int]:
    """Deletes all shares of a stream, and returns the same as `share`. Raises `StreamNotFound`."""
    key, owner = _found(connection, stream)
    return owner, -connection.execute("DELETE FROM shares WHERE stream = ?", (key,)).rowcount


def forget(connection: Connection, key: int, stream: str) -> Dropped:
    """Deletes a stream, its log, its claim and its shares. Raises `StreamNotFound`."""
    found = connection.execute(
        f"SELECT owner, iif(ended_at IS NULL, 0, {CHARGE}) FROM streams WHERE key = ? AND id = ?", (key, stream)
    ).fetchone()
    if found is None:
        raise not_found(stream)
    owner, size = found
    connection.execute("DELETE FROM streams WHERE key = ?", (key,))
    connection.execute("DELETE FROM batches WHERE stream = ?", (key,))
    connection.execute("DELETE FROM shares WHERE stream = ?", (key,))
    return Dropped(stream, owner, size)


def evict(connection: Connection, owner: str, size: int) -> Sequence[Dropped]:
    """Deletes the owner's oldest ended streams until so many bytes are free, and returns them."""
    found = connection.execute(
        "SELECT key, id FROM streams WHERE owner = ? AND ended_at IS NOT NULL ORDER BY key", (owner,)
    )
    return _dropped(connection, found, size)


def expire(connection: Connection, ended_before: float) -> Sequence[Dropped]:
    """Deletes some of the streams that ended before this time, and returns them; none when there are no more."""
    found = connection.execute(
        "SELECT key, id FROM streams WHERE ended_at < ? ORDER BY ended_at LIMIT ?", (ended_before, EXPIRED_STREAMS)
    )
    return _dropped(connection, found.fetchall(), EXPIRED_BYTES)


def _dropped(connection: Connection, streams: Iterable[tuple[int, str]], size: int) -> Sequence[Dropped]:
    dropped: list[Dropped] = []
    for key, stream in streams:
        dropped.append(forget(connection, key, stream))
        size -= dropped[-1].size
        if size <= 0:
            break
    return dropped


def come_back(connection: Connection, now: float) -> None:
    """Moves times in the future, which a wrong clock has written, back to now, so that retention starts from now."""
    connection.execute("UPDATE streams SET ended_at = ? WHERE ended_at > ?", (now, now))
    connection.execute("UPDATE topics SET published_at = ? WHERE published_at > ?", (now, now))


def expire_topics(connection: Connection, topics: Sequence[str]) -> None:
    """Deletes the topics with their histories."""
    for topic in topics:
        connection.execute("DELETE FROM published WHERE topic = (SELECT key FROM topics WHERE id = ?)", (topic,))
        connection.execute("DELETE FROM topics WHERE id = ?", (topic,))


def vacuum(connection: Connection) -> bool:
    """Gives some free pages back to the disk, unless few are free; whether it did."""
    free, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
    if free * FREE_SHARE <= pages:
        return False
    for _ in range(VACUUMED_PAGES):
        # However many are asked for, sqlite3 frees one page: it takes a statement without columns to be done.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return True


def _found(connection: Connection, stream: str) -> tuple[int, str]:
    found = connection.execute("SELECT key, owner FROM streams WHERE id = ?", (stream,)).fetchone()
    if found is None:
        raise not_found(stream)
    return found
