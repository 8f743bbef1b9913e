from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from asyncio import Future
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_kit import full_disk, held_up

from tidegate.core.events import Completed, Delta, Event, Started, Usage
from tidegate.core.log import Page
from tidegate.core.packed_page import BIG_EVENT_BYTES
from tidegate.errors import ConfigError, IdempotencyMismatch, InUse, StoreUnavailable, StreamNotFound
from tidegate.stores.records import Claim, Claimed, Fence, Share, StreamRecord
from tidegate.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))

FILLER = """
import asyncio, sys
from tidegate.core.events import Delta, Started
from tidegate.stores.records import StreamRecord
from tidegate.stores.sqlite.store import SqliteStore

async def fill(store, stream):
    record = StreamRecord(id=stream, owner="o", model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)])
    tail = 1
    while True:
        tail = await store.append([Delta(str(tail))], fence=fence, expected=tail)
        print(stream, tail, flush=True)

async def main():
    store = SqliteStore(sys.argv[1], max_generation_bytes=1 << 20)
    await store.open()
    await asyncio.gather(*(fill(store, f"gen_{n}") for n in range(10)))

asyncio.run(main())
"""

OPENER = """
import asyncio, sys
from tidegate.stores.sqlite.store import SqliteStore
asyncio.run(SqliteStore(sys.argv[1], max_generation_bytes=1).open())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = a_store(path)
    await store.open()
    yield store
    await store.close()


def a_store(path: Path) -> SqliteStore:
    return SqliteStore(path, max_generation_bytes=1 << 20)


async def created(store: SqliteStore, stream: str = "gen_1", claim: Claim | None = None) -> Fence:
    record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)], claim=claim)
    assert isinstance(fence, Fence)
    return fence


def appending(store: SqliteStore, events: Sequence[Event], fence: Fence, expected: int) -> Future[int]:
    answer = store.append(events, fence=fence, expected=expected)
    assert isinstance(answer, Future)
    return answer


async def ended(store: SqliteStore, stream: str, *, size: int = 10) -> None:
    await appending(store, [Delta("x" * size), END], await created(store, stream), 1)


async def texts(store: SqliteStore, stream: str = "gen_1") -> list[str]:
    answer = store.read(stream, None, limit=10_000, max_bytes=1 << 24)
    found = await answer if isinstance(answer, Future) else answer
    assert isinstance(found, Page)
    return [entry.event.text for entry in found.entries if isinstance(entry.event, Delta)]


@contextmanager
def nobody() -> Generator[None]:
    """Without the rights of root, who may write anywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def killed(path: Path) -> dict[str, int]:
    """What a process that was killed while it wrote had acknowledged: the tail of each stream."""
    child = subprocess.Popen([sys.executable, "-c", FILLER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(500)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    tails = [line.split() for line in lines if line.endswith("\n")]
    return {stream: int(tail) for stream, tail in tails}


def opened_elsewhere(path: Path) -> str:
    """What a second process says when it opens the store."""
    command = [sys.executable, "-c", OPENER, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stderr


def shares_kept(path: Path) -> list[bytes]:
    """The digests that are in the file."""
    other = sqlite3.connect(path)
    found = [digest for (digest,) in other.execute("SELECT digest FROM shares ORDER BY digest")]
    other.close()
    return found


def content(path: Path) -> bytes:
    return path.read_bytes()


def size(path: Path) -> int:
    return path.stat().st_size


def modes(folder: Path) -> set[int]:
    return {file.stat().st_mode & 0o077 for file in (folder, *folder.iterdir())}


async def test_what_was_acknowledged_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    """Logs, positions, records and idempotency keys outlive the process, of ended streams and of live ones."""
    claim = Claim("k", b"digest")
    fence = await created(store, "gen_ended", claim)
    await appending(store, [Delta("a"), Delta("b")], fence, 1)
    fence = await store.acquire("gen_ended")
    await appending(store, [Delta("c")], fence, 3)
    await appending(store, [END], fence, 4)
    live = await created(store, "gen_live")
    await appending(store, [Delta("d")], live, 1)
    tails = [await store.tail(stream) for stream in ("gen_ended", "gen_live")]
    record = (await store.look("gen_ended")).record
    await store.close()

    again = a_store(path)
    assert [unfinished.id for unfinished in await again.open()] == ["gen_live"]
    assert (await again.look("gen_ended")).record == record
    assert [await again.tail(stream) for stream in ("gen_ended", "gen_live")] == tails
    assert [await texts(again, stream) for stream in ("gen_ended", "gen_live")] == [["a", "b", "c"], ["d"]]
    assert await again.claimed(claim) == Claimed("gen_ended")
    with pytest.raises(IdempotencyMismatch):
        await again.claimed(Claim("k", b"other"))
    assert [found.record.id for found in await again.list(owner="anna", status=None, before=None, limit=9)] == [
        "gen_live",
        "gen_ended",
    ]
    await again.close()


async def test_the_end_can_be_written_again_after_a_restart(store: SqliteStore) -> None:
    """A writer that is not sure of the end it wrote may repeat it, also where the log is not in memory any more."""
    fence = await created(store)
    await appending(store, [END], fence, 1)
    await store.close()
    await store.open()
    assert await appending(store, [END], fence, 1) == 2


async def test_nothing_can_be_read_before_it_is_committed(store: SqliteStore, path: Path) -> None:
    """While the file cannot be written to, no reader sees or is woken for what waits for it."""
    fence = await created(store)
    woken: list[int] = []
    store.watch("gen_1", lambda: woken.append(1))
    with held_up(path):
        answer = appending(store, [Delta("a")], fence, 1)
        await asyncio.wait((answer,), timeout=0.1)
        assert not answer.done()
        assert (await texts(store), woken, (await store.tail("gen_1")).offset) == ([], [], 1)
    assert await answer == 2
    assert (await texts(store), woken) == (["a"], [1])


async def test_appends_that_wait_together_are_committed_together(store: SqliteStore, path: Path) -> None:
    """What comes while the disk is busy costs one transaction and one wake-up per stream, however much it is."""
    fences = [await created(store, f"gen_{n}") for n in range(10)]
    woken = {fence.stream: 0 for fence in fences}

    def wake(stream: str) -> None:
        woken[stream] += 1

    for fence in fences:
        store.watch(fence.stream, lambda stream=fence.stream: wake(stream))
    with held_up(path):
        answers = [appending(store, [Delta(str(n))], fence, n) for n in range(1, 41) for fence in fences]
    await asyncio.gather(*answers)
    # The first of them may have been on their way already when the others came.
    assert max(woken.values()) <= 2
    for fence in fences:
        assert await texts(store, fence.stream) == [str(n) for n in range(1, 41)]


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    """A process that is killed while it writes loses nothing that it has said to have."""
    acknowledged = await asyncio.to_thread(killed, path)
    store = a_store(path)
    unfinished = [record.id for record in await store.open()]
    assert sorted(unfinished) == sorted(acknowledged)
    for stream, tail in acknowledged.items():
        found = await texts(store, stream)
        assert found == [str(n) for n in range(1, len(found) + 1)]
        assert len(found) + 1 >= tail
        fence = await store.acquire(stream)
        await appending(store, [END], fence, len(found) + 1)
    await store.close()


async def test_a_full_disk_refuses_what_is_new_and_keeps_what_it_has(store: SqliteStore, path: Path) -> None:
    """While there is no room appends fail, what was acknowledged can be read, and later the log goes on from there."""
    fence = await created(store)
    await ended(store, "gen_ended")
    await appending(store, [Delta("kept")], fence, 1)
    big = "x" * 100_000
    with full_disk(path):
        answers = [appending(store, [Delta(big)], fence, 2)]
        answers += [appending(store, [Delta("behind")], fence, 3), appending(store, [Delta("further")], fence, 4)]
        failures = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(failure) for failure in failures] == [StoreUnavailable] * 3
        assert await texts(store) == ["kept"]
        assert await texts(store, "gen_ended") == ["x" * 10]
        assert (await store.tail("gen_1")).offset == 2
        with pytest.raises(StoreUnavailable):
            await appending(store, [Delta(big)], fence, 2)
    assert await appending(store, [Delta("later"), END], fence, 2) == 4
    await store.close()
    await store.open()
    assert await texts(store) == ["kept", "later"]


async def test_what_cannot_be_written_stops_nobody_else(store: SqliteStore, path: Path) -> None:
    """In one group with an append that does not fit, the appends of other streams are kept."""
    large, small = await created(store, "gen_large"), await created(store, "gen_small")
    await appending(store, [Delta("x" * 60_000)], small, 1)
    with full_disk(path, room=100_000):
        with held_up(path):
            answers = [appending(store, [Delta("first")], small, 2)]
            answers += [appending(store, [Delta("x" * 500_000)], large, 1), appending(store, [Delta("y")], small, 3)]
        results = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(results[1], StoreUnavailable)
    assert [results[0], results[2]] == [3, 4]
    assert await texts(store, "gen_large") == []
    assert (await texts(store, "gen_small"))[1:] == ["first", "y"]


async def test_a_second_process_is_refused(store: SqliteStore, path: Path) -> None:
    """Two processes never fill one file: the second is told who has it."""
    said = await asyncio.to_thread(opened_elsewhere, path)
    assert "InUse" in said
    assert f"the store {path} is in use by process {os.getpid()}" in said
    with pytest.raises(InUse, match="in use by process"):
        await a_store(path).open()
    await store.close()
    assert await asyncio.to_thread(opened_elsewhere, path) == ""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    yield folder
    folder.chmod(0o755)


async def test_a_directory_that_cannot_be_written_is_said_to_be(read_only: Path) -> None:
    """The message names the file and what to do about it."""
    with nobody(), pytest.raises(ConfigError, match="make its directory writable") as caught:
        await a_store(read_only / "store.db").open()
    assert str(read_only / "store.db") in caught.value.message


async def test_a_missing_directory_is_made_only_where_that_was_asked_for(tmp_path: Path) -> None:
    """A mistyped path is an error; the default place is made, and is nobody else's to look into."""
    path = tmp_path / "a" / "b" / "store.db"
    with pytest.raises(ConfigError, match=r"there is no directory .*: make it"):
        await a_store(path).open()
    store = SqliteStore(path, max_generation_bytes=1000, create_parents=True)
    await store.open()
    assert modes(path.parent) == {0}
    await store.close()


async def test_a_damaged_file_is_found_at_the_start(store: SqliteStore, path: Path) -> None:
    """What is no database, or one whose pages are broken, is named before anything relies on it."""
    await ended(store, "gen_1", size=100_000)
    await store.close()
    whole = content(path)
    for damaged in (
        b"no database " * 100,
        whole[: len(whole) // 2],
        whole[:2048] + bytes(8192) + whole[10240:],
        whole[:40960] + bytes(8192) + whole[49152:],
    ):
        await asyncio.to_thread(path.write_bytes, damaged)
        with pytest.raises(ConfigError, match="restore it from a backup") as caught:
            await store.open()
        assert str(path) in caught.value.message
    await asyncio.to_thread(path.write_bytes, whole)
    await store.open()
    assert await texts(store) == ["x" * 100_000]


async def test_a_damaged_log_harms_no_other(store: SqliteStore, path: Path) -> None:
    """A log that makes no sense is unavailable; the rest of the file is as it was."""
    await ended(store, "gen_1")
    await ended(store, "gen_2")
    await store.close()
    other = sqlite3.connect(path)
    other.execute("UPDATE batches SET events = '[{]' WHERE stream = 1")
    other.commit()
    other.close()
    await store.open()
    with pytest.raises(StoreUnavailable):
        await texts(store, "gen_1")
    assert await texts(store, "gen_2") == ["x" * 10]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("PRAGMA user_version = 99", "another version of tidegate"),
        ("PRAGMA application_id = 0", "database of another program"),
    ],
)
async def test_a_file_that_is_not_ours_to_write_is_refused(
    store: SqliteStore, path: Path, change: str, message: str
) -> None:
    """A file of a newer version, or of another program, is left as it is."""
    await store.close()
    other = sqlite3.connect(path)
    other.execute(change)
    other.close()
    before = content(path)
    with pytest.raises(ConfigError, match=message) as caught:
        await store.open()
    assert str(path) in caught.value.message
    assert content(path) == before


async def test_the_file_does_not_grow_for_ever(store: SqliteStore, path: Path) -> None:
    """What expires leaves its room to what comes, and gives it back to the disk."""
    sizes: list[int] = []
    for turn in range(3):
        for n in range(50):
            await ended(store, f"gen_{turn}_{n}", size=20_000)
        await store.close()
        sizes.append(size(path))
        await store.open()
        assert await store.expire(float("inf")) == 50
    assert sizes[0] > 50 * 20_000
    # How much of the journal is still to be compacted when the store is closed differs.
    assert max(sizes) < 1.5 * min(sizes)
    await store.close()
    assert size(path) < sizes[0] / 10


async def test_what_expires_while_it_is_loaded_is_whole_or_not_there(store: SqliteStore) -> None:
    """A log on its way from the file when its stream expires is read as it was, or its stream is not found."""
    for n in range(30):
        await ended(store, f"gen_{n}")
    await store.close()
    await store.open()

    async def look(stream: str) -> bool:
        try:
            return await texts(store, stream) == ["x" * 10]
        except StreamNotFound:
            return True

    looks = [look(f"gen_{n}") for n in range(30)]
    *seen, expired = await asyncio.gather(*looks, store.expire(float("inf")))
    assert (expired, all(seen)) == (30, True)
    for n in range(30):
        with pytest.raises(StreamNotFound):
            await store.look(f"gen_{n}")
        with pytest.raises(StreamNotFound):
            store.watch(f"gen_{n}", lambda: None)


async def test_many_readers_of_an_ended_stream_load_it_once(store: SqliteStore) -> None:
    """After a restart a stream that everybody comes back for is read from the file once, and what is big is shared."""
    await ended(store, "gen_1", size=BIG_EVENT_BYTES)
    await store.close()
    await store.open()
    reads = [store.read("gen_1", None, limit=10, max_bytes=1 << 20) for _ in range(20)]
    pages = [await answer if isinstance(answer, Future) else answer for answer in reads]
    assert all(isinstance(page, Page) for page in pages)
    assert len({id(page.entries[1].json) for page in pages if isinstance(page, Page)}) == 1


async def test_an_append_whose_caller_has_gone_is_kept(store: SqliteStore) -> None:
    """A cancelled wait takes nothing back: the log goes on behind what was asked for."""
    fence = await created(store)
    appending(store, [Delta("a")], fence, 1).cancel()
    assert await appending(store, [Delta("b")], fence, 2) == 3
    assert await texts(store) == ["a", "b"]


async def test_what_is_forgotten_takes_no_more_events(store: SqliteStore, path: Path) -> None:
    """From the moment a stream is being forgotten its producer is told that it is not there."""
    fence = await created(store)
    with held_up(path):
        forgetting = asyncio.create_task(store.forget("gen_1"))
        await asyncio.sleep(0)
        with pytest.raises(StreamNotFound):
            store.append([Delta("a")], fence=fence, expected=1)
        with pytest.raises(StreamNotFound):
            await store.forget("gen_1")
    await forgetting
    await store.close()
    await store.open()
    with pytest.raises(StreamNotFound):
        await store.look("gen_1")


async def test_a_live_stream_that_is_damaged_is_found_at_the_start(store: SqliteStore, path: Path) -> None:
    """What nobody could carry on or end is the operator's to decide about, before the server takes anything."""
    fence = await created(store)
    await appending(store, [Delta("a")], fence, 1)
    await appending(store, [Delta("b")], fence, 2)
    await store.close()
    other = sqlite3.connect(path)
    other.execute("DELETE FROM journal WHERE number = 1")
    other.commit()
    other.close()
    with pytest.raises(ConfigError, match="restore it from a backup"):
        await store.open()


async def test_a_stream_whose_caller_goes_while_it_is_made_is_not_kept(store: SqliteStore, path: Path) -> None:
    """Nobody would ever fill or end it; its idempotency key is free again."""
    claim = Claim("k", b"digest")
    with held_up(path):
        creating = asyncio.create_task(created(store, "gen_1", claim))
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
    await created(store, "gen_2", claim)
    with pytest.raises(StreamNotFound):
        await store.look("gen_1")
    await store.close()
    assert [record.id for record in await store.open()] == ["gen_2"]


async def test_the_lease_that_counts_is_kept(store: SqliteStore) -> None:
    """After a restart the caller that filled a stream is known by the last lease it was given, and by no other."""
    record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0, lease=b"first")
    await store.create(record, [Started("gen_1", "m", 1.0)])
    for given, kept in ((b"", b"first"), (b"second", b"second"), (b"", b"second")):
        await store.acquire("gen_1", lease=given)
        await store.close()
        assert [unfinished.lease for unfinished in await store.open()] == [kept]


async def test_no_share_stays_in_the_file_without_its_stream(path: Path) -> None:
    """What is forgotten, expires, is revoked or makes room leaves no row behind."""
    now = 1000.0
    store = SqliteStore(path, max_generation_bytes=1 << 20, now=lambda: now)
    await store.open()
    for stream in ("gen_1", "gen_2", "gen_3", "gen_4"):
        await ended(store, stream)
        await store.share(Share(stream.encode(), stream, 2000))
    await store.forget("gen_1")
    assert shares_kept(path) == [b"gen_2", b"gen_3", b"gen_4"]
    await store.unshare("gen_2")
    assert shares_kept(path) == [b"gen_3", b"gen_4"]
    now = 2000.0
    await store.share(Share(b"new", "gen_3", 3000))
    assert shares_kept(path) == [b"gen_4", b"new"]
    assert await store.expire(float("inf")) == 3
    assert shares_kept(path) == []
    await store.close()


async def test_a_share_is_there_once_it_is_in_the_file(store: SqliteStore, path: Path) -> None:
    """No token is told before it would survive, and one that is known works until its revocation is in the file."""
    await created(store)
    share = Share(b"a", "gen_1", 1e12)
    with held_up(path):
        sharing = asyncio.create_task(store.share(share))
        await asyncio.wait((sharing,), timeout=0.05)
        assert not sharing.done()
        assert await store.shared(b"a") is None
    await sharing
    with held_up(path):
        revoking = asyncio.create_task(store.unshare("gen_1"))
        await asyncio.wait((revoking,), timeout=0.05)
        assert await store.shared(b"a") == share
    await revoking
    assert await store.shared(b"a") is None
