"""A file that the version before has written: `format-3.db.gz` is what commit a6b08c2 had left when it was killed.

It had answered one stream of the model, shared it, opened one for a program that has appended once, published thrice,
and was in the middle of an answer.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from api_kit import call, fetch
from restart_kit import Restartable
from sqlite_kit import full_disk

from tidegate.errors import ConfigError
from tidegate.stores.sqlite import schema
from tidegate.stores.sqlite.file import DatabaseFile

pytestmark = pytest.mark.anyio

WRITTEN = Path(__file__).parent / "format-3.db.gz"
ENDED, OF_A_PROGRAM, LIVE = (
    "gen_31042f991c3ed33e355775551647a539",
    "gen_3421212503bc6ca781299e49d05d0710",
    "gen_4e07ab0554ed95e891b76ae00879781d",
)
LEASE = "lease_985e248e4962d6cebccc304f53a720cf2b0b65fb4b178d29866990b2ab7dec35"
SHARE = "share_ff6e7fefe2ad19b295049dd28ca5ac9f6e0d5567679409686887209de8baa94b"
TEXT = "The tide comes in, and goes out again."

CONFIG = """
[store]
url = "sqlite:///logs.db"
retention_seconds = 1000000000
lease_seconds = 600
[[models]]
name = "tides"
provider = "replay"
tokens = 400
rate = 40
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "logs.db"
    path.write_bytes(gzip.decompress(WRITTEN.read_bytes()))
    with closing(sqlite3.connect(path)) as other, other:
        # A share is good for a year at the most, and this test for longer.
        other.execute("UPDATE shares SET expires_at = 9e9")
    return path


@pytest.fixture
def server(path: Path) -> Iterator[Restartable]:
    with Restartable(path.parent, CONFIG) as server:
        yield server


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as other:
        return other.execute("PRAGMA user_version").fetchone()[0]


async def test_all_that_the_version_before_has_kept_is_served(server: Restartable) -> None:
    """Streams, shares, idempotency keys, and leases of programs; what was live has ended, with its text."""
    streams = f"{server.url}/v1/streams"
    assert "had format 3 and has format 4 now" in server.process.stderr()
    assert (await fetch(f"{streams}/{ENDED}"))[2]["text"] == TEXT
    shared = await fetch(f"{streams}/{ENDED}", headers={"authorization": f"Bearer {SHARE}"})
    assert shared[2]["text"] == TEXT
    body = {"model": "tides", "prompt": "ended", "max_tokens": 8}
    assert (await fetch(streams, "POST", body, {"idempotency-key": "once"}))[2]["id"] == ENDED

    append = {"lease": LEASE, "expected_offset": 2, "events": [{"type": "delta", "data": {"text": ", and half"}}]}
    assert (await fetch(f"{streams}/{OF_A_PROGRAM}/append", "POST", append))[2]["offset"] == 3
    snapshot = (await fetch(f"{streams}/{OF_A_PROGRAM}"))[2]
    assert (snapshot["text"], snapshot["metadata"]) == ("half, and half", {"of": "a program"})

    live = (await fetch(f"{streams}/{LIVE}"))[2]
    assert (live["status"], live["error"]["code"]) == ("failed", "interrupted")
    assert live["text"].startswith(TEXT)


async def test_topics_of_the_version_before_go_on(server: Restartable) -> None:
    """With their history, their state, and cursors that lead to the same places."""
    async with call(f"{server.url}/v1/topics/room/events?after=yg7pj0-1") as answer:
        events = answer.events()
        begun, second, third = [await anext(events) for _ in range(3)]
    assert begun.event == "subscribed"
    assert '"state":"message 2"' in begun.data
    assert [each.id for each in (second, third)] == ["yg7pj0-2", "yg7pj0-3"]
    assert "message 3" in third.data


async def test_the_next_start_takes_over_nothing(server: Restartable, path: Path) -> None:
    """The file has the new format for good, and all is there again."""
    server.restart()
    assert "has format" not in server.process.stderr()
    assert (await fetch(f"{server.url}/v1/streams/{LIVE}"))[2]["text"].startswith(TEXT)
    assert version(path) == schema.VERSION


@contextmanager
def full_log(path: Path) -> Generator[None]:
    """SQLite's own log has room for one page, and cannot be begun anew while somebody reads."""
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = WAL")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM shares").fetchone()
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            for _ in range(64):
                writer.execute("UPDATE shares SET expires_at = expires_at + 1")
        with full_disk(path, room=1200):
            yield


def test_a_file_that_could_not_be_taken_over_is_as_it_was(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk, say: the version before can go on with it, and the next try succeeds."""
    file = DatabaseFile(path, synchronous="normal", create_parents=False)
    with full_log(path), pytest.raises(ConfigError, match="make room on"):
        file.open()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'journal'").fetchone() == (0,)
    assert (version(path), caplog.text) == (3, "")
    file.open()
    file.close()
    assert version(path) == schema.VERSION
