"""A store in one SQLite file, for one process at a time: acknowledged data survives that process.

Live streams are in memory, too, and appends to them are checked there; one thread writes, in groups, and only committed
events can be read. Ended streams are read from the file by another thread, and kept in memory for a while.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import Path
from secrets import randbits
from sqlite3 import Connection
from time import time
from typing import TypeVar

import msgspec

from tidegate.core.cursor import Cursor, new_epoch
from tidegate.core.events import Appendable, Event, Published
from tidegate.core.fold import Status
from tidegate.core.log import Log, epoch_at
from tidegate.core.topic import is_topic
from tidegate.errors import StoreUnavailable, StreamEnded, StreamNotFound, TidegateError
from tidegate.stores.ledger import SHARE_BYTES, Ledger
from tidegate.stores.local_cluster import LocalNode, Nodes
from tidegate.stores.records import (
    TOPIC_HISTORY,
    Claim,
    Claimed,
    Fence,
    Found,
    Look,
    Share,
    StreamRecord,
    TopicRecord,
    Unwatch,
)
from tidegate.stores.sqlite import changes, published, reader
from tidegate.stores.sqlite.accounts import Accounts, Eviction, Opening
from tidegate.stores.sqlite.appends import Appends
from tidegate.stores.sqlite.compactor import JOURNAL_BYTES, Compactor
from tidegate.stores.sqlite.file import DatabaseFile, Synchronous, damaged
from tidegate.stores.sqlite.reader import ReadThread
from tidegate.stores.sqlite.rows import Dropped, not_found, to_json
from tidegate.stores.sqlite.segments import SEGMENT_BYTES
from tidegate.stores.sqlite.shares import Shares
from tidegate.stores.sqlite.stream_cache import Held, Queued
from tidegate.stores.sqlite.streams import Streams, heard
from tidegate.stores.sqlite.topics import QueuedTopic, Topics
from tidegate.stores.sqlite.url import sqlite_path, sqlite_problem
from tidegate.stores.sqlite.witness import Witness
from tidegate.stores.sqlite.writer import LOOKS, Change, Group, Line, Looks, Write, Writer
from tidegate.stores.topic_charges import TopicCharges
from tidegate.stores.traits import Options, Traits

STORED_BYTES_EACH = 1 << 30
"""Bytes that one caller's streams and topics may take in the file: a thousand books."""

S = TypeVar("S")
T = TypeVar("T")


class _Threads(msgspec.Struct, frozen=True):
    """What exists between `open` and `close`."""

    loop: AbstractEventLoop
    writer: Writer
    reader: ReadThread
    witness: Witness


class SqliteStore:
    """A `Store` in a file. All calls belong on the thread of the event loop that `open` was called on.

    `synchronous` says what an acknowledged append survives: "normal" the end of the process, "full" a power cut, too.
    """

    name = "sqlite"
    outlives_process = True

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        max_generation_bytes: int,
        synchronous: Synchronous = "normal",
        create_parents: bool = False,
        topic_history: int = TOPIC_HISTORY,
        max_stored_bytes: int = 0,
        max_stored_bytes_each: int = STORED_BYTES_EACH,
        journal_bytes: int = JOURNAL_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        looks: Looks = LOOKS,
        now: Callable[[], float] = time,
        random_bits: Callable[[int], int] = randbits,
    ) -> None:
        self._file = DatabaseFile(Path(path).resolve(), synchronous=synchronous, create_parents=create_parents)
        self._max_bytes = max_generation_bytes
        self._looks = looks
        self._now = now
        self._random_bits = random_bits
        self._threads: _Threads | None = None
        self._streams = Streams(self._ask, max_generation_bytes)
        self._shares = Shares(self._ask)
        self._accounts = Accounts(each=max_stored_bytes_each, total=max_stored_bytes, more=self._give_way)
        self._topics = Topics(
            self._ask,
            self._put,
            TopicCharges(self._accounts.ledger),
            history=topic_history,
            now=now,
            new_epoch=self._new_epoch,
        )
        self._nodes = Nodes(self.look)
        self._compactor = Compactor(self._streams.compacted, journal_bytes=journal_bytes, segment_bytes=segment_bytes)
        self._appends = Appends(self._streams, self._accounts, self._compactor, self._ask, now)
        self._next_key = 1

    def join(self, node: str, lease_seconds: float) -> LocalNode:
        return self._nodes.join(node, lease_seconds)

    async def open(self) -> Sequence[StreamRecord]:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._file.open)
        name = str(self._file.path)
        read = ReadThread(name, self._file.connect(), loop)
        try:
            unfinished = await read.ask(reader.unfinished)
            self._next_key = 1 + await read.ask(reader.last_key)
            last_topic = await read.ask(published.last_topic)
            ended = await read.ask(reader.ended_by_owner)
            topics = await read.ask(published.sizes)
        except BaseException as error:
            await read.close()
            self._file.close()
            raise damaged(self._file.path, error.message) if isinstance(error, StoreUnavailable) else error from None
        witness = Witness(self._file.path)
        writer = Writer(name, self._file.connect(), loop, self._committed, witness, self._looks)
        writer.start()
        self._threads = _Threads(loop, writer, read, witness)
        self._accounts.open(loop, ended, put=writer.put, gone=self._drop)
        self._topics.open(last_topic, topics)
        self._compactor.open(self._start_compaction, loop.call_later)
        for row, log in unfinished:
            charge = self._accounts.live(row.record, None, log)
            held = Held(row.key, row.record, log=log, charge=charge, batched=log.tail, joined=log.tail)
            self._streams.fill(held)
        await self._change(Line(), partial(changes.come_back, now=self._now()), bool)
        return [row.record for row, _ in unfinished]

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        epoch = self._new_epoch()
        log = Log(epoch)
        entries = Queued(record.id, log, self._max_bytes).take(events)
        line = Opening(self._accounts.live(record, claim))
        key = self._next_key
        self._next_key += 1

        def created(earlier: Claimed | None) -> Fence | Claimed:
            if earlier is not None:
                line.charge.give_back()
                return earlier
            log.extend(entries)
            self._streams.fill(Held(key, record, log=log, charge=line.charge, batched=log.tail))
            return Fence(record.id, epoch)

        create = partial(
            changes.create,
            key=key,
            record=record,
            epochs=log.epochs,
            events=to_json(entries),
            last=len(entries),
            claim=claim,
        )
        try:
            return await self._change(line, create, created)
        except asyncio.CancelledError:
            # Nobody has the stream's fence, so it would never end.
            with suppress(TidegateError):
                self._start_change(Line(), partial(changes.forget, key=key, stream=record.id), self._dropped)
            raise

    async def claimed(self, claim: Claim) -> Claimed | None:
        return await self._ask(partial(reader.claimed, claim=claim))

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        held = await self._streams.found(stream)
        queued = held.queued
        if queued is None:
            raise StreamEnded("the stream has ended")
        epoch = self._new_epoch()
        queued.begin_epoch(epoch)

        def acquired(_: None) -> Fence:
            held.whole.begin_epoch(epoch)
            held.record = msgspec.structs.replace(held.record, lease=lease or held.record.lease)
            return Fence(stream, epoch)

        acquire = partial(changes.acquire, key=held.key, epochs=tuple(queued.epochs), lease=lease)
        return await self._change(queued, acquire, acquired)

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> int | Future[int]:
        threads = self._open_threads()
        held = self._streams.held(fence.stream)
        if held is not None and held.queued is not None:
            answer: Future[int] = threads.loop.create_future()
            threads.writer.put(self._appends.take(answer, held, held.queued, events, fence.epoch, expected))
            return answer
        if held is not None and held.log is not None:
            return self._appends.repeated(held, events, fence, expected)
        return heard(threads.loop.create_task(self._appends.repeat(events, fence, expected)))

    async def mark_running(self, fence: Fence) -> None:
        held = await self._streams.found(fence.stream)
        if held.queued is None:
            held = await self._streams.loaded(fence.stream)
        if held.queued is None and held.log is None:
            # The stream is long, and has ended: there is nothing to note.
            return
        queued = held.queued or self._streams.settled(held)
        queued.check(fence.epoch)

        def marked(_: None) -> None:
            held.record = msgspec.structs.replace(held.record, running=True)

        await self._change(queued, partial(changes.mark_running, key=held.key), marked)

    async def look(self, stream: str) -> Look:
        # The record is read last: the end of a stream that has ended meanwhile is then in both.
        tail = await self.tail(stream)
        record = (await self._streams.found(stream)).record
        return Look(record, tail if record.end is None else await self.tail(stream))

    async def tail(self, stream: str) -> Cursor:
        if is_topic(stream):
            return (await self._topics.found(stream)).log.cursor
        if (held := self._streams.held(stream)) is not None:
            return held.cursor
        _, epochs, tail = await self._ask(partial(reader.position_of, stream=stream))
        return Cursor(epoch_at(epochs, tail), tail)

    async def position(self, stream: str, offset: int) -> Cursor:
        if is_topic(stream):
            return (await self._topics.found(stream)).log.at(offset)
        held = await self._streams.found(stream)
        if held.log is not None:
            return held.log.at(offset)
        _, epochs, _ = await self._ask(partial(reader.position_of, stream=stream))
        return Cursor(epoch_at(epochs, offset), offset)

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        threads = self._open_threads()
        if is_topic(stream):
            return self._topics.read(stream, after, limit=limit, max_bytes=max_bytes)
        held = self._streams.held(stream)
        if held is not None and held.log is not None:
            return held.log.read(after, limit=limit, max_bytes=max_bytes)

        async def read_later() -> Found:
            log = (await self._streams.loaded(stream)).log
            if log is None:
                return await self._ask(
                    partial(reader.page_of, stream=stream, after=after, limit=limit, max_bytes=max_bytes)
                )
            return log.read(after, limit=limit, max_bytes=max_bytes)

        return heard(threads.loop.create_task(read_later()))

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        if is_topic(stream):
            return self._topics.watch(stream, wake)
        held = self._streams.held(stream)
        if held is None:
            raise not_found(stream)
        key = object()
        held.watchers[key] = wake
        return partial(held.watchers.pop, key, None)

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        page = partial(reader.page, owner=owner, status=status, before=before, limit=limit)
        forgotten = self._streams.forgotten
        rows = await self._ask(page)
        # The tails come from the stream cache.
        self._streams.keep(rows, forgotten)
        found: list[Look] = []
        for row in rows:
            with suppress(StreamNotFound):
                found.append(Look(row.record, await self.tail(row.record.id)))
        return found

    async def share(self, share: Share) -> None:
        await self._change(
            Line(), partial(changes.share, share=share, now=self._now()), partial(self._share, share.stream)
        )

    async def shared(self, digest: bytes) -> Share | None:
        return await self._shares.found(digest)

    async def unshare(self, stream: str) -> None:
        def unshared(found: tuple[str, int]) -> None:
            self._share(stream, found)
            self._shares.clear()

        await self._change(Line(), partial(changes.unshare, stream=stream), unshared)

    async def forget(self, stream: str) -> None:
        held = await self._streams.found(stream)
        queued = held.queued
        if queued is not None:
            queued.forget()

        forget = partial(changes.forget, key=held.key, stream=stream)
        await self._change(queued or Line(), forget, self._dropped)

    async def open_topic(self, topic: str) -> Cursor:
        return (await self._topics.opened(topic)).log.cursor

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Future[Cursor]:
        return self._topics.publish(self._open_threads().loop.create_future(), topic, event, claim)

    async def topic(self, topic: str) -> TopicRecord:
        return (await self._topics.found(topic)).record

    async def expire(self, before: float) -> int:
        def expired(dropped: Sequence[Dropped]) -> int:
            for each in dropped:
                self._dropped(each)
            return len(dropped)

        expire = partial(changes.expire, ended_before=before)
        count = 0
        while some := await self._change(Line(), expire, expired):
            count += some
        count += await self._topics.expire(before)
        while await self._change(Line(), changes.vacuum, bool):
            pass
        return count

    async def close(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            self._compactor.close()
            threads.writer.stop()
            await asyncio.to_thread(threads.writer.join)
            await threads.reader.close()
            threads.witness.close()
            self._file.close()
            self._streams.close()
            self._topics.close()
            self._shares.clear()
            self._accounts.close()
            self._nodes.clear()

    @property
    def fault(self) -> str | None:
        return None if self._threads is None else self._threads.writer.fault

    @property
    def ledger(self) -> Ledger:
        """The bytes in the file, by account."""
        return self._accounts.ledger

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        return await self._open_threads().reader.ask(question)

    # What is written, and what follows in memory

    async def _change(self, line: Line, change: Callable[[Connection], S], apply: Callable[[S], T]) -> T:
        return await self._start_change(line, change, apply)

    def _start_change(self, line: Line, change: Callable[[Connection], S], apply: Callable[[S], T]) -> Future[T]:
        answer: Future[T] = self._open_threads().loop.create_future()
        self._put(Change(answer, line, change=change, apply=apply))
        return answer

    def _start_compaction(self, change: Callable[[Connection], T]) -> Future[T]:
        threads = self._open_threads()
        answer: Future[T] = threads.loop.create_future()
        threads.writer.put_alone(Change(answer, Line(), change=change, apply=bool))
        return answer

    def _put(self, write: Write) -> None:
        self._open_threads().writer.put(write)

    def _dropped(self, dropped: Dropped) -> None:
        self._accounts.add(dropped.owner, -dropped.size)
        self._drop(dropped.stream)

    def _share(self, stream: str, found: tuple[str, int]) -> None:
        owner, shares = found
        held = self._streams.live(stream)
        if held is not None and held.charge is not None:
            held.charge.share(shares)
        else:
            self._accounts.add(owner, SHARE_BYTES * shares)

    def _give_way(self, account: str, size: int) -> None:
        self._topics.give_way(account, size)

    def _drop(self, stream: str) -> None:
        if (held := self._streams.drop(stream)) is not None:
            self._appends.forget(held)
        self._shares.clear()

    def _committed(self, group: Group) -> None:
        for write in group.writes:
            answer = write.answer
            if write.error is None:
                result = write.apply(write.result)
                if not answer.done():
                    answer.set_result(result)
            else:
                self._failed(write)
                if not answer.done():
                    answer.set_exception(write.error)
                    answer.exception()
        self._appends.committed(group)
        self._topics.committed()

    def _failed(self, write: Write) -> None:
        line = write.line
        if isinstance(line, QueuedTopic):
            self._topics.failed(line, write.published)
        elif isinstance(line, Opening):
            line.charge.give_back()
        elif isinstance(line, Eviction):
            self._accounts.kept(line)
        elif isinstance(line, Queued) and line.broken:
            self._streams.fall_back(line)

    def _open_threads(self) -> _Threads:
        if self._threads is None:
            raise StoreUnavailable("the store is closed")
        return self._threads

    def _new_epoch(self) -> str:
        return new_epoch(self._random_bits(64))


def _opened(url: str, options: Options) -> SqliteStore:
    return SqliteStore(
        sqlite_path(url),
        max_generation_bytes=options.max_generation_bytes,
        synchronous=options.synchronous,
        topic_history=options.topic_history,
        max_stored_bytes=options.max_stored_bytes,
        max_stored_bytes_each=options.max_stored_bytes_each or STORED_BYTES_EACH,
        now=options.now,
    )


TRAITS = Traits(problem=sqlite_problem, open=_opened, place=lambda url: str(sqlite_path(url)), shared=False)
