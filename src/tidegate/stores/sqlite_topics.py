"""The topics in memory, what is on its way to the file for them, and the way to those that are in the file alone."""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection

from tidegate.core.cursor import Cursor
from tidegate.core.events import Published, encode
from tidegate.core.log import Entry, Log
from tidegate.core.topic import is_topic
from tidegate.errors import StoreUnavailable, TidegateError
from tidegate.stores import sqlite_changes as changes
from tidegate.stores import sqlite_published as published
from tidegate.stores.base import Claim, Unwatch, check_body
from tidegate.stores.held_topics import HeldTopic, HeldTopics, no_topic
from tidegate.stores.sqlite_published import PublishedRow
from tidegate.stores.sqlite_streams import Ask, heard
from tidegate.stores.sqlite_writer import Line, Write

KEPT_BYTES = 32 << 20
"""Histories, as JSON, but for those that are watched. They can be read again any time."""

KEPT_TOPICS = 16384
"""For the same reason."""

_Waiting = tuple[Published, Claim | None, Future[Cursor]]


class QueuedTopic(Line):
    """Where a topic will be once all that is on its way is committed; what is published is decided by this."""

    def __init__(self, held: HeldTopic) -> None:
        super().__init__()
        self.held = held
        self._tail = held.log.tail
        self._history = held.history
        self._claims: dict[str, tuple[bytes, Cursor]] = {}

    def claimed(self, claim: Claim) -> Cursor | None:
        """As `HeldTopic.claimed`, with what is on its way."""
        digest, cursor = self._claims.get(claim.key, (claim.digest, None))
        if cursor is None or cursor.offset <= self._tail - self._history:
            return self.held.claimed(claim, tail=self._tail)
        check_body(claim, digest)
        return cursor

    def take(self, event: Published, size: int, claim: Claim | None) -> Entry:
        """What the event, of so many bytes, becomes at the tail."""
        self._tail += 1
        entry = Entry(self.held.log.epochs[-1][0], self._tail, event, size)
        if claim is not None:
            self._claims[claim.key] = (claim.digest, entry.cursor)
        return entry

    def committed(self, row: PublishedRow) -> None:
        """The topic itself has it now."""
        self.held.add(row.entry, row.event, row.claim)
        claim = row.claim
        if claim is not None and self._claims[claim.key][1] == row.entry.cursor:
            del self._claims[claim.key]


class Topics:
    """Belongs on the loop's thread, as what it holds.

    A topic that is in memory is never looked for in the file, and nothing is queued for one that is not.
    """

    def __init__(
        self,
        ask: Ask,
        put: Callable[[Write], None],
        *,
        history: int,
        now: Callable[[], float],
        new_epoch: Callable[[], str],
        max_topics: int = KEPT_TOPICS,
        max_bytes: int = KEPT_BYTES,
    ) -> None:
        self._ask = ask
        self._put = put
        self._history = history
        self._now = now
        self._new_epoch = new_epoch
        self._held = HeldTopics(max_topics, max_bytes, lambda _: None)
        self._lines: dict[str, QueuedTopic] = {}
        self._loads: dict[str, Task[bool]] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._leaving: dict[str, Future[None]] = {}
        self._filler = ""
        self._last_key = 0

    def open(self, last_key: int) -> None:
        """From here on this process fills the topics; `last_key` is the newest one's."""
        self._filler = self._new_epoch()
        self._last_key = last_key

    def held(self, topic: str) -> HeldTopic | None:
        """The topic, if it is in memory."""
        return self._held.get(topic)

    async def found(self, topic: str) -> HeldTopic:
        """The topic. Raises `StreamNotFound`."""
        while (held := self._held.get(topic)) is None:
            if not await asyncio.shield(self._load(topic)):
                raise no_topic(topic)
        return held

    async def opened(self, topic: str) -> HeldTopic:
        """The topic, made if it is not there. Raises `StreamNotFound` where the id is not a topic's."""
        if not is_topic(topic):
            raise no_topic(topic)
        while (held := self._held.get(topic)) is None:
            if not await asyncio.shield(self._load(topic)):
                held = self._made(topic)
                break
        self._held.use(held)
        return held

    def watch(self, topic: str, wake: Callable[[], None]) -> Unwatch:
        """Raises `StreamNotFound` where the topic is not in memory."""
        held = self._held.get(topic)
        if held is None:
            raise no_topic(topic)
        return self._held.watch(held, wake)

    def publish(self, answer: Future[Cursor], topic: str, event: Published, claim: Claim | None) -> Future[Cursor]:
        """Answers once the event is committed. Raises `StreamNotFound` where the id is not a topic's."""
        if not is_topic(topic):
            raise no_topic(topic)
        held = self._held.get(topic)
        if held is not None:
            self._publish(held, event, claim, answer)
        else:
            self._waiting.setdefault(topic, []).append((event, claim, answer))
            self._load(topic)
        return heard(answer)

    def arrived(self, line: QueuedTopic) -> None:
        """One of the publications of the line is committed, or has failed."""
        held = line.held
        held.pending -= 1
        if self._lines.get(held.topic) is line and (line.broken or not held.pending):
            del self._lines[held.topic]

    async def expire(self, before: float) -> int:
        """As `Store.expire`."""
        expired = skipped = 0
        while page := await self._ask(partial(published.unpublished_since, before=before, skip=skipped)):
            unused, used = self._unused(page, before)
            skipped += used
            if unused:
                await asyncio.shield(self._forget(unused))
                expired += len(unused)
        for held in self._held:
            if held.published_at is None and held.unused_since(before):
                self._held.drop(held)
        return expired

    def close(self) -> None:
        """Lets go of all of them, and wakes whoever waits."""
        self._filler = ""
        for held in self._held:
            self._held.drop(held)

    def _made(self, topic: str) -> HeldTopic:
        held = self._held.get(topic)
        if held is None:
            self._last_key += 1
            log = Log(self._new_epoch())
            held = HeldTopic(topic, log, history=self._history, opened_at=self._now(), key=self._last_key)
            self._held.use(held)
        return held

    def _publish(self, held: HeldTopic, event: Published, claim: Claim | None, answer: Future[Cursor]) -> None:
        line = self._lines.get(held.topic) or QueuedTopic(held)
        try:
            earlier = line.claimed(claim) if claim is not None else None
        except TidegateError as error:
            if not answer.done():
                answer.set_exception(error)
            return
        held.pending += 1
        self._lines[held.topic] = line
        if earlier is not None:
            self._put(Write(answer, line, apply=lambda _: self._repeated(line, earlier)))
            return
        encoded = encode(event)
        entry = line.take(event, len(encoded), claim)
        row = self._row(held, entry, event, encoded, claim)
        self._put(Write(answer, line, published=row, apply=lambda _: self._published(line, row)))

    def _row(
        self, held: HeldTopic, entry: Entry, event: Published, encoded: bytes, claim: Claim | None
    ) -> PublishedRow:
        log = held.log
        return PublishedRow(
            key=held.key,
            topic=held.topic,
            filler=self._filler,
            epochs=tuple(log.epochs),
            entry=entry,
            event=event,
            encoded=encoded,
            claim=claim,
            size=log.size + len(encoded),
            forgotten=log.earliest.offset,
        )

    def _published(self, line: QueuedTopic, row: PublishedRow) -> Cursor:
        line.committed(row)
        self.arrived(line)
        self._held.use(line.held)
        return row.entry.cursor

    def _repeated(self, line: QueuedTopic, earlier: Cursor) -> Cursor:
        self.arrived(line)
        return earlier

    def _load(self, topic: str) -> Task[bool]:
        if (load := self._loads.get(topic)) is None:
            self._loads[topic] = load = asyncio.get_running_loop().create_task(self._loaded(topic))
            heard(load)
        return load

    async def _loaded(self, topic: str) -> bool:
        """Reads the topic, then publishes what has waited for it. Whether it was there."""
        try:
            there = await self._looked_up(topic)
        except TidegateError as error:
            for *_, answer in self._waiting.pop(topic, ()):
                if not answer.done():
                    answer.set_exception(error)
            raise
        finally:
            # At once, not by a callback: whoever comes next must not wait for what is over.
            del self._loads[topic]
        for event, claim, answer in self._waiting.pop(topic, ()):
            self._publish(self._made(topic), event, claim, answer)
        return there

    async def _looked_up(self, topic: str) -> bool:
        filler = self._filler
        if (leaving := self._leaving.get(topic)) is not None:
            await asyncio.wait((leaving,))
        found: tuple[HeldTopic, str] | None = await self._ask(partial(self._restored, topic=topic, now=self._now()))
        if filler != self._filler:
            raise StoreUnavailable("the store is closed")
        if found is None:
            return False
        held, last_filler = found
        if last_filler != filler:
            held.log.begin_epoch(self._new_epoch())
        self._held.use(held)
        return True

    def _restored(self, connection: Connection, topic: str, now: float) -> tuple[HeldTopic, str] | None:
        """The topic as it is in the file, and who filled it last; on the reading thread."""
        rows = published.topic_of(connection, topic)
        if rows is None:
            return None
        log = Log.restore(rows.epochs, (), dropped=rows.entries[0][0].offset - 1)
        held = HeldTopic(topic, log, history=self._history, opened_at=now, key=rows.key)
        for entry, event, claim in rows.entries:
            held.add(entry, event, claim)
        held.state = rows.state
        return held, rows.filler

    def _unused(self, page: Sequence[tuple[str, int]], before: float) -> tuple[list[str], int]:
        """Those of the topics that can be forgotten in one transaction, and how many before them cannot."""
        unused: list[str] = []
        used = 0
        left = changes.EXPIRED_BYTES
        for topic, size in page:
            held = self._held.get(topic)
            if topic in self._loads or (held is not None and not held.unused_since(before)):
                used += 1
                continue
            left -= size
            if unused and left < 0:
                break
            unused.append(topic)
        return unused, used

    def _forget(self, topics: Sequence[str]) -> Future[None]:
        gone: Future[None] = asyncio.get_running_loop().create_future()
        gone.add_done_callback(lambda _: [self._leaving.pop(topic, None) for topic in topics])
        for topic in topics:
            self._leaving[topic] = gone
            if (held := self._held.get(topic)) is not None:
                self._held.drop(held)
        change = partial(changes.expire_topics, topics=topics)
        self._put(Write(gone, Line(), change=change, apply=lambda _: None))
        return gone
