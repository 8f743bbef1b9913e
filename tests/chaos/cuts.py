"""Cuts the tail of a store's write-ahead log at random bytes, as a power cut may leave it, and opens what is left."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.core.events import Completed, Delta, Event, Started, Usage, encode
from tidegate.core.log import NO_LIMIT, Page
from tidegate.errors import StreamNotFound
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.sqlite.store import SqliteStore

NAME = "cut.db"

END = Completed("stop", Usage(1, 1, 2))

STEPS = 120

TORN_BYTES = 600
"""How much is overwritten where the log is torn, and not cut off: more than a sector."""

JOURNAL_BYTES = 4096
"""So small that live streams are compacted in each run, too."""

SEGMENT_BYTES = 300
"""So small that rows of the journal are deleted after nearly each compaction."""

STREAMS = 6
"""How many streams are live at once."""


@dataclass
class Stream:
    """What was asked of one stream, whether it was answered or not."""

    fence: Fence
    events: list[bytes] = field(default_factory=list[bytes])
    ended: bool = False
    forgotten: bool = False


@dataclass(frozen=True)
class Answered:
    """What was known to be kept when the write-ahead log had so many bytes: the tail of each stream, -1 where it was
    forgotten."""

    size: int
    tails: Mapping[str, int]


@dataclass(frozen=True)
class Filled:
    """The files of a store that was filled and never closed, and what it had answered."""

    folder: Path
    streams: Mapping[str, Stream]
    answers: Sequence[Answered]


async def cut(seed: int, count: int) -> list[str]:
    """Fills a store as the seed says, and opens it after each of so many cuts. Returns what promises were broken."""
    draw = random.Random(f"cuts {seed}")
    with tempfile.TemporaryDirectory() as name:
        filled = await _fill(Path(name), draw)
        log = (filled.folder / f"{NAME}-wal").read_bytes()
        problems: list[str] = []
        for number in range(count):
            at = draw.randrange(len(log) + 1)
            torn = draw.random() < 0.3
            left = log[:at] + (draw.randbytes(TORN_BYTES) + log[at + TORN_BYTES :] if torn else b"")
            folder = Path(name) / f"cut {number}"
            folder.mkdir()
            shutil.copy(filled.folder / NAME, folder / NAME)
            (folder / f"{NAME}-wal").write_bytes(left)
            where = f"seed {seed}, {'torn' if torn else 'cut'} at {at} of {len(log)}"
            problems += [f"{where}: {problem}" for problem in await _judged(folder, filled, at)]
            shutil.rmtree(folder)
    return problems


def _store(folder: Path) -> SqliteStore:
    return SqliteStore(
        folder / NAME, max_generation_bytes=1 << 24, journal_bytes=JOURNAL_BYTES, segment_bytes=SEGMENT_BYTES
    )


async def _fill(folder: Path, draw: random.Random) -> Filled:
    """Two lives of a store: what the first has left is in the database, what the second has done in its log."""
    life = folder / "life"
    life.mkdir()
    streams: dict[str, Stream] = {}
    store = _store(life)
    await store.open()
    await _steps(life, store, streams, draw, STEPS // 4)
    await store.close()
    await store.open()
    answers = await _steps(life, store, streams, draw, STEPS)
    left = folder / "left"
    left.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(life / f"{NAME}{suffix}", left / f"{NAME}{suffix}")
    await store.close()
    return Filled(left, streams, answers)


async def _steps(
    folder: Path, store: SqliteStore, streams: dict[str, Stream], draw: random.Random, count: int
) -> Sequence[Answered]:
    answers: list[Answered] = []
    tails = {name: -1 if stream.forgotten else len(stream.events) for name, stream in streams.items()}
    for _ in range(count):
        answers.append(Answered((folder / f"{NAME}-wal").stat().st_size, dict(tails)))
        live = [name for name, stream in streams.items() if not stream.ended and not stream.forgotten]
        if len(live) < STREAMS:
            name = f"gen_{len(streams)}"
            streams[name] = await _created(store, name)
            tails[name] = 1
        elif draw.random() < 0.05:
            name = draw.choice(list(streams))
            if not streams[name].forgotten:
                streams[name].forgotten = True
                await store.forget(name)
                tails[name] = -1
        else:
            some = draw.sample(live, draw.randint(1, len(live)))
            tails |= await asyncio.gather(*(_appended(store, name, streams[name], draw) for name in some))
    answers.append(Answered((folder / f"{NAME}-wal").stat().st_size, dict(tails)))
    return answers


async def _created(store: SqliteStore, name: str) -> Stream:
    began = Started(name, "m", 1.0)
    fence = await store.create(StreamRecord(id=name, owner="anna", model="m", created_at=1.0), [began])
    assert isinstance(fence, Fence)
    return Stream(fence, [encode(began)])


async def _appended(store: SqliteStore, name: str, stream: Stream, draw: random.Random) -> tuple[str, int]:
    expected = len(stream.events)
    size = 40_000 if draw.random() < 0.02 else 40
    events: list[Event] = [Delta(f"{expected + n} " + "x" * draw.randint(0, size)) for n in range(draw.randint(1, 4))]
    if draw.random() < 0.1:
        events.append(END)
        stream.ended = True
    stream.events += map(encode, events)
    answer = store.append(events, fence=stream.fence, expected=expected)
    return name, await answer if isinstance(answer, Future) else answer


async def _judged(folder: Path, filled: Filled, at: int) -> list[str]:
    """What is wrong with a store whose log is whole up to the byte `at` only."""
    # What the first life has left is in the database, wherever the log is cut.
    promised = [filled.answers[0], *(each for each in filled.answers if each.size <= at)][-1].tails
    store = _store(folder)
    try:
        live = {record.id for record in await store.open()}
    except Exception as error:
        return [f"cannot be opened: {error}"]
    try:
        problems: list[str] = []
        for name, stream in filled.streams.items():
            tail = promised.get(name, 0)
            found = await _found(store, name)
            problems += [f"{name}: {problem}" for problem in _compared(stream, found, tail, is_live=name in live)]
            if name in live and found:
                problems += [f"{name}: {problem}" for problem in await _went_on(store, name, found)]
        await store.close()
        await store.open()
        for name in live:
            found = await _found(store, name)
            if not found or found[-1] != encode(END):
                problems.append(f"{name}: its end is gone after another start")
        return problems
    finally:
        await store.close()


async def _found(store: SqliteStore, name: str) -> list[bytes] | None:
    try:
        answer = store.read(name, None, limit=NO_LIMIT, max_bytes=NO_LIMIT)
        page = await answer if isinstance(answer, Future) else answer
    except StreamNotFound:
        return None
    assert isinstance(page, Page)
    assert [entry.offset for entry in page.entries] == list(range(1, len(page.entries) + 1))
    return [entry.json for entry in page.entries]


def _compared(stream: Stream, found: list[bytes] | None, tail: int, *, is_live: bool) -> list[str]:
    if found is None:
        return [f"lost, of {tail} events"] if tail > 0 and not stream.forgotten else []
    problems: list[str] = []
    if tail < 0:
        problems.append("was forgotten, and is there")
    if len(found) < tail:
        problems.append(f"has {len(found)} of {tail} events")
    if found != stream.events[: len(found)]:
        problems.append("has other events than were appended")
    if is_live == (found[-1] == encode(END)):
        problems.append("is live with an end, or has ended without one")
    return problems


async def _went_on(store: SqliteStore, name: str, found: Sequence[bytes]) -> list[str]:
    """The stream is carried on and ended, as by the next process."""
    fence = await store.acquire(name)
    answer = store.append([Delta("more"), END], fence=fence, expected=len(found))
    tail = await answer if isinstance(answer, Future) else answer
    return [] if tail == len(found) + 2 else [f"went on to {tail} after {len(found)}"]
