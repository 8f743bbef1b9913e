"""What is changed in the file, in statements; all of it inside the writer's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from tidegate.core.events import GenerationRequest, Terminal
from tidegate.core.fold import status_of
from tidegate.stores.base import Claim, Claimed, Share, StreamRecord, check_room
from tidegate.stores.sqlite_reader import claimed
from tidegate.stores.sqlite_rows import Epochs, insert, not_found, request_json

EXPIRED_STREAMS = 100
EXPIRED_BYTES = 1 << 20
"""What is forgotten in one transaction, but for the first stream: appends wait for it, some 10 milliseconds."""

VACUUMED_PAGES = 512
"""Given back to the disk in one transaction, for the same reason."""

FREE_SHARE = 8
"""An eighth of the file may be free: what comes next needs it, and giving it back means moving what is behind it."""

_COMPACT = """
INSERT OR REPLACE INTO batches (stream, last, events)
SELECT ?1, ?2, CAST('[' || group_concat(substr(events, 2, length(events) - 2)) || ']' AS BLOB)
FROM (SELECT events FROM batches WHERE stream = ?1 ORDER BY last)
"""


def create(
    connection: Connection,
    key: int,
    record: StreamRecord,
    epochs: Epochs,
    events: bytes,
    last: int,
    claim: Claim | None,
) -> Claimed | None:
    """Makes a stream with its first events, unless the claim led to an earlier one. Raises `IdempotencyMismatch`."""
    if claim is not None and (earlier := claimed(connection, claim)) is not None:
        return earlier
    insert(connection, key, record, epochs, claim)
    connection.execute("INSERT INTO batches (stream, last, events) VALUES (?, ?, ?)", (key, last, events))
    return None


def acquire(connection: Connection, key: int, epochs: Epochs, lease: bytes) -> None:
    """Begins an epoch, with a new lease where one is given."""
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
) -> None:
    """Ends a stream whose last batch has been written, and makes one batch of all: it takes less room, and one read.

    What is for carrying it on is dropped; of the request `asked` is left.
    """
    connection.execute(
        'UPDATE streams SET status = ?, "end" = ?, ended_at = ?, tail = ?, size = ?, request = ?, grace = NULL, '
        "lease = x'' WHERE key = ?",
        (status_of(end, running=True), msgspec.json.encode(end), ended_at, tail, size, request_json(asked), key),
    )
    connection.execute(_COMPACT, (key, tail))
    connection.execute("DELETE FROM batches WHERE stream = ? AND last < ?", (key, tail))


def share(connection: Connection, share: Share, now: float) -> None:
    """Keeps a share, in place of those of its stream that have expired. Raises `StreamNotFound` or `TooManyShares`."""
    key = _key_of(connection, share.stream)
    valid = "SELECT count(*) FROM shares WHERE stream = ? AND expires_at > ?"
    check_room(connection.execute(valid, (key, now)).fetchone()[0])
    connection.execute("DELETE FROM shares WHERE stream = ? AND expires_at <= ?", (key, now))
    connection.execute(
        "INSERT INTO shares (digest, stream, expires_at) VALUES (?, ?, ?)", (share.digest, key, share.expires_at)
    )


def unshare(connection: Connection, stream: str) -> None:
    """Drops all shares of a stream. Raises `StreamNotFound`."""
    connection.execute("DELETE FROM shares WHERE stream = ?", (_key_of(connection, stream),))


def forget(connection: Connection, key: int, stream: str) -> None:
    """Drops a stream, its log, its claim and its shares. Raises `StreamNotFound`."""
    if not connection.execute("DELETE FROM streams WHERE key = ? AND id = ?", (key, stream)).rowcount:
        raise not_found(stream)
    connection.execute("DELETE FROM batches WHERE stream = ?", (key,))
    connection.execute("DELETE FROM shares WHERE stream = ?", (key,))


def expire(connection: Connection, ended_before: float) -> Sequence[str]:
    """Drops some of the streams that ended before then, and says which; none when there are no more."""
    found = connection.execute(
        "SELECT key, id, size FROM streams WHERE ended_at < ? ORDER BY ended_at LIMIT ?",
        (ended_before, EXPIRED_STREAMS),
    ).fetchall()
    expired: list[str] = []
    left = EXPIRED_BYTES
    for key, stream, size in found:
        left -= size
        if expired and left < 0:
            break
        forget(connection, key, stream)
        expired.append(stream)
    return expired


def expire_topics(connection: Connection, topics: Sequence[str]) -> None:
    """Drops the topics, with their histories."""
    for topic in topics:
        connection.execute("DELETE FROM published WHERE topic = (SELECT key FROM topics WHERE id = ?)", (topic,))
        connection.execute("DELETE FROM topics WHERE id = ?", (topic,))


def vacuum(connection: Connection) -> bool:
    """Gives some free pages back to the disk, unless they are few; whether it did."""
    free, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
    if free * FREE_SHARE <= pages:
        return False
    for _ in range(VACUUMED_PAGES):
        # However many it is asked for, sqlite3 frees one: it takes a statement without columns to be done.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return True


def _key_of(connection: Connection, stream: str) -> int:
    found = connection.execute("SELECT key FROM streams WHERE id = ?", (stream,)).fetchone()
    if found is None:
        raise not_found(stream)
    return found[0]
