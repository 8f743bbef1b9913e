"""The tables of the file, the version of its format, and how a file of an earlier version is taken over."""

from __future__ import annotations

from sqlite3 import Connection

VERSION = 4
"""The version of the file's format, as its `user_version`."""

APPLICATION = 0x74696465
"""The file's `application_id`: `tide` in ASCII."""

JOURNAL = """
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    appends BLOB NOT NULL
);
"""
"""Live events in the order of their commits: a row has those of one commit, of all streams. `appends` is a JSON array
of [stream, last, events], where `stream` is a key, and `last` and `events` are as in `batches`."""

SCHEMA = f"""
CREATE TABLE streams (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    running INTEGER NOT NULL,
    created_at REAL NOT NULL,
    ended_at REAL,
    tail INTEGER,
    size INTEGER,
    grace REAL,
    lease BLOB NOT NULL,
    claim TEXT UNIQUE,
    digest BLOB,
    epochs BLOB NOT NULL,
    metadata BLOB NOT NULL,
    "end" BLOB,
    request BLOB
);
CREATE INDEX streams_of_owner ON streams (owner);
CREATE INDEX streams_of_owner_by_status ON streams (owner, status);
CREATE INDEX streams_live ON streams (key) WHERE ended_at IS NULL;
CREATE INDEX streams_by_end ON streams (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE batches (
    stream INTEGER NOT NULL,
    last INTEGER NOT NULL,
    events BLOB NOT NULL,
    PRIMARY KEY (stream, last)
) WITHOUT ROWID;
{JOURNAL}CREATE TABLE shares (
    digest BLOB PRIMARY KEY,
    stream INTEGER NOT NULL,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX shares_of_stream ON shares (stream);
CREATE TABLE topics (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    filler TEXT NOT NULL,
    epochs BLOB NOT NULL,
    tail INTEGER NOT NULL,
    size INTEGER NOT NULL,
    published_at REAL NOT NULL,
    state_epoch TEXT,
    state_offset INTEGER,
    state BLOB
);
CREATE INDEX topics_by_publication ON topics (published_at);
CREATE TABLE published (
    topic INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    event BLOB NOT NULL,
    claim TEXT,
    digest BLOB,
    PRIMARY KEY (topic, offset)
) WITHOUT ROWID;
"""
"""`batches.last` is the offset of the last of its events, which are a JSON array. `epochs` is a list of [epoch, start].

What the `journal` has of a stream follows its batches; it may have again what they have.
`tail` and `size` are known once the stream has ended; `key` is in the order of creation.
`batches.stream`, `shares.stream` and `published.topic` are keys. `topics.filler` names the opening of the store in
which the last of the topic's epochs began; `published` may have some older events than belong to the history.
"""

STEPS = {3: JOURNAL}
"""What makes a file of an earlier version one of the next. In version 3 live events had rows of their own in `batches`:
they stay there, as the beginning of their logs."""


def make(connection: Connection) -> None:
    """Makes the tables in an empty file."""
    _run(connection, SCHEMA, f"PRAGMA application_id = {APPLICATION};")


def take_over(connection: Connection, version: int) -> None:
    """Makes a file of one of the versions in `STEPS` one of this version, or leaves it as it is."""
    _run(connection, *(STEPS[step] for step in range(version, VERSION)))


def _run(connection: Connection, *statements: str) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {' '.join(statements)} PRAGMA user_version = {VERSION}; COMMIT;")
