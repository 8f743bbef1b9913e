"""The topics of the file: some are in memory, with the events queued for them; the others are read when asked for."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future, Task
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from sqlite3 import Connection

from tidegate.core.cursor import Cursor
from tidegate.core.events import Published, encode
from tidegate.core.log import Entry, Log, Page
from tidegate.core.notices import Gap
from tidegate.core.topic import is_topic
from tidegate.errors import StoreUnavailable, TidegateError
from tidegate.stores.ledger import FULL, Ledger
from tidegate.stores.records import Claim, Found, Unwatch, check_body
from tidegate.stores.sqlite import changes, published
from tidegate.stores.sqlite.published import PublishedRow
from tidegate.stores.sqlite.streams import Ask, heard
from tidegate.stores.sqlite.writer import Change, Line, Write
from tidegate.stores.topic_charges import TopicCharges
from tidegate.stores.topic_log import TopicLog, TopicLogs, no_topic, weight_of

KEPT_BYTES = 64 << 20
"""Memory for the histories of topics that nobody watches. They can be read again at any time."""

KEPT_TOPICS = 16384
"""Topics in memory that nobody watches; they can be read again, too."""

TRIES = 5
"""Attempts to read a part of the history that may be forgotten at the same moment."""

NOBODY = ""
"""The account that is charged for events of earlier processes until their topic has been read."""

logger = logging.getLogger("tidegate.stores")

_Waiting = tuple[Published, Claim | None, Future[Cursor]]


class QueuedTopic(Line):
    """A topic as it will be once all its queued events are committed; new events are checked against it."""

    def __init__(self, held: TopicLog) -> None:
        super().__init__()
        self.held = held
        self._tail = held.log.tail
        self._history = held.history
        self._claims: dict[str, tuple[bytes, Cursor]] = {}

    def claimed(self, claim: Claim) -> Cursor | None:
        """As `TopicLog.claimed`, queued events included."""
        digest, cursor = self._claims.get(claim.key, (claim.digest, None))
        if cursor is None or cursor.offset <= self._tail - self._history:
            return self.held.claimed(claim, tail=self._tail)
        check_body(claim, digest)
        return cursor

    def take(self, json: bytes, claim: Claim | None) -> Entry:
        """Moves the tail behind an event, given as JSON, and returns it as an entry."""
        self._tail += 1
        entry = Entry(self.held.log.epochs[-1][0], self._tail, json)
        if claim is not None:
            self._claims[claim.key] = (claim.digest, entry.cursor)
        return entry

    def committed(self, row: PublishedRow) -> None:
        """Adds an event that was committed to the topic itself."""
        self.held.add(row.entry, row.event, row.claim, reserved=True)
        claim = row.claim
        if claim is not None and self._claims[claim.key][1] == row.entry.cursor:
            del self._claims[claim.key]


class Topics:
    """Topics by id; belongs on the loop's thread, with its content.

    A topic that is in memory is never looked for in the file, and events are queued only for topics in memory.
    """

    def __init__(
        self,
        ask: Ask,
        put: Callable[[Write], None],
        charges: TopicCharges,
        *,
        history: int,
        now: Callable[[], float],
        new_epoch: Callable[[], str],
        max_topics: int = KEPT_TOPICS,
        max_bytes: int = KEPT_BYTES,
    ) -> None:
        self._ask = ask
        self._put = put
        self._charges = charges
        self._history = history
        self._now = now
        self._new_epoch = new_epoch
        self._held = TopicLogs(max_topics, max_bytes, lambda _: None, again=True)
        self._lines: dict[str, QueuedTopic] = {}
        self._loads: dict[str, Task[bool]] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._leaving: dict[str, Future[None]] = {}
        self._news: dict[TopicLog, None] = {}
        self._filler = ""
        self._last_key = 0

    def open(self, last_key: int, sizes: Iterable[tuple[str, int]] = ()) -> None:
        """Starts filling topics; `last_key` is the newest topic's key.

        The `sizes` of the topics in the file, in bytes, are charged to `NOBODY` until their senders have been read.
        """
        self._filler = self._new_epoch()
        self._last_key = last_key
        for topic, size in sizes:
            self._charges.add(topic, NOBODY, size)

    def held(self, topic: str) -> TopicLog | None:
        """The topic, if it is in memory."""
        return self._held.get(topic)

    async def found(self, topic: str) -> TopicLog:
        """The topic. Raises `StreamNotFound`."""
        while (held := self._held.get(topic)) is None:
            if not await asyncio.shield(self._load(topic)):
                raise no_topic(topic)
        return held

    async def opened(self, topic: str) -> TopicLog:
        """The topic, created if it does not exist. Raises `StreamNotFound` where the id is not a topic's."""
        if not is_topic(topic):
            raise no_topic(topic)
        while (held := self._held.get(topic)) is None:
            if not await asyncio.shield(self._load(topic)):
                held = self._made(topic)
                break
        self._held.use(held)
        return held

    def read(self, topic: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        """As `Store.read`."""
        held = self._held.get(topic)
        if held is not None:
            found = held.log.read(after, limit=limit, max_bytes=max_bytes)
            if not held.is_away(found):
                return found
        return heard(asyncio.get_running_loop().create_task(self._read_later(topic, after, limit, max_bytes)))

    def watch(self, topic: str, wake: Callable[[], None]) -> Unwatch:
        """As `Store.watch`. Raises `StreamNotFound` where the topic is not in memory."""
        held = self._held.get(topic)
        if held is None:
            raise no_topic(topic)
        return self._held.watch(held, wake)

    def publish(self, answer: Future[Cursor], topic: str, event: Published, claim: Claim | None) -> Future[Cursor]:
        """Publishes an event; `answer` is done once it is committed. Raises `StreamNotFound` if it is no topic's id."""
        if not is_topic(topic):
            raise no_topic(topic)
        held = self._held.get(topic)
        if held is not None:
            self._publish(held, event, claim, answer)
        else:
            self._waiting.setdefault(topic, []).append((event, claim, answer))
            self._load(topic)
        return heard(answer)

    def give_way(self, account: str, size: int) -> None:
        """Forgets topics that only this account has published to, least recently published to first, until so many
        bytes are free."""
        topics: list[str] = []
        for topic in self._charges.only_of(account):
            if size <= 0 or not self._filler:
                break
            held = self._held.get(topic)
            if topic not in self._loads and topic not in self._leaving and (held is None or held.is_idle):
                size -= self._charges.of(topic)[account]
                topics.append(topic)
        if topics:
            logger.info("forgot %d topics of %s before their time: %s", len(topics), account or "unknown senders", FULL)
            heard(self._forget(topics))

    def failed(self, line: QueuedTopic, row: PublishedRow | None) -> None:
        """Notes that one of the line's events could not be written."""
        if row is not None:
            self._charges.release(row.event.sender, weight_of(row.entry.size, row.claim))
        self.arrived(line)

    def arrived(self, line: QueuedTopic) -> None:
        """Notes that one of the line's events is committed, or has failed."""
        held = line.held
        held.pending -= 1
        if self._lines.get(held.topic) is line and (line.broken or not held.pending):
            del self._lines[held.topic]

    def committed(self) -> None:
        """Wakes the readers of what was published by the last group of writes, once for each topic."""
        if self._news:
            news, self._news = self._news, {}
            for held in news:
                held.wake()

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
        """Drops all topics, and wakes their watchers."""
        self._filler = ""
        for held in self._held:
            self._held.drop(held)
        self._charges.clear()

    async def _read_later(self, topic: str, after: Cursor | None, limit: int, max_bytes: int) -> Found:
        for _ in range(TRIES):
            held = await self.found(topic)
            found = held.log.read(after, limit=limit, max_bytes=max_bytes)
            if isinstance(found, Gap) or not held.is_away(found):
                return found
            first, last = found.entries[0].offset, found.entries[-1].offset
            epochs = tuple(held.log.epochs)
            entries: Sequence[Entry] = await self._ask(
                partial(published.between, key=held.key, epochs=epochs, after=first - 1, last=last)
            )
            if [entry.offset for entry in entries] == list(range(first, last + 1)):
                return Page(entries, found.after, found.more)
        raise StoreUnavailable("the topic's history cannot be read")

    def _made(self, topic: str) -> TopicLog:
        held = self._held.get(topic)
        if held is None:
            self._last_key += 1
            log = Log(self._new_epoch())
            held = self._new(topic, log, self._now(), self._last_key)
            self._held.use(held)
        return held

    def _new(self, topic: str, log: Log, now: float, key: int, charges: TopicCharges | None = None) -> TopicLog:
        return TopicLog(topic, log, history=self._history, opened_at=now, key=key, charges=charges or self._charges)

    def _publish(self, held: TopicLog, event: Published, claim: Claim | None, answer: Future[Cursor]) -> None:
        line = self._lines.get(held.topic) or QueuedTopic(held)
        json = encode(event)
        try:
            earlier = line.claimed(claim) if claim is not None else None
            if earlier is None:
                held.reserve(event.sender, weight_of(len(json), claim))
        except TidegateError as error:
            if not answer.done():
                answer.set_exception(error)
            return
        held.pending += 1
        self._lines[held.topic] = line
        if earlier is not None:
            self._put(Change(answer, line, apply=lambda _: self._repeated(line, earlier)))
            return
        row = self._row(held, line.take(json, claim), event, claim)
        self._put(Change(answer, line, published=row, apply=lambda _: self._published(line, row)))

    def _row(self, held: TopicLog, entry: Entry, event: Published, claim: Claim | None) -> PublishedRow:
        log = held.log
        return PublishedRow(
            key=held.key,
            topic=held.topic,
            filler=self._filler,
            epochs=tuple(log.epochs),
            entry=entry,
            event=event,
            claim=claim,
            size=log.size + entry.size,
            forgotten=log.earliest.offset,
        )

    def _published(self, line: QueuedTopic, row: PublishedRow) -> Cursor:
        line.committed(row)
        self.arrived(line)
        self._news[line.held] = None
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
        """Reads the topic, then publishes the events that waited for that. Whether the topic existed."""
        try:
            there = await self._looked_up(topic)
        except TidegateError as error:
            for *_, answer in self._waiting.pop(topic, ()):
                if not answer.done():
                    answer.set_exception(error)
            raise
        finally:
            # Removed at once, not by a callback: the next caller must not wait for a load that is over.
            del self._loads[topic]
        for event, claim, answer in self._waiting.pop(topic, ()):
            self._publish(self._made(topic), event, claim, answer)
        return there

    async def _looked_up(self, topic: str) -> bool:
        filler = self._filler
        if (leaving := self._leaving.get(topic)) is not None:
            await asyncio.wait((leaving,))
        found: tuple[TopicLog, str] | None = await self._ask(partial(self._restored, topic=topic, now=self._now()))
        if filler != self._filler:
            raise StoreUnavailable("the store is closed")
        if found is None:
            return False
        held, last_filler = found
        if last_filler != filler:
            held.log.begin_epoch(self._new_epoch())
        held.charge_to(self._charges)
        self._held.use(held)
        return True

    def _restored(self, connection: Connection, topic: str, now: float) -> tuple[TopicLog, str] | None:
        """The topic as the file has it, and its last `filler`; runs on the reading thread."""
        rows = published.topic_of(connection, topic)
        if rows is None:
            return None
        log = Log.restore(rows.epochs, (), dropped=rows.entries[0][0].offset - 1)
        # On this thread the topic is charged to a ledger of its own; the real one belongs on the loop's thread.
        held = self._new(topic, log, now, rows.key, TopicCharges(Ledger(each=0, total=0, evict=_nothing)))
        for entry, event, claim in rows.entries:
            held.add(entry, event, claim)
        held.remember(rows.state)
        return held, rows.filler

    def _unused(self, page: Sequence[tuple[str, int]], before: float) -> tuple[list[str], int]:
        """The topics that can be forgotten in one transaction, and how many of those passed cannot, being in use."""
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
            self._charges.drop(topic)
            self._leaving[topic] = gone
            if (held := self._held.get(topic)) is not None:
                self._held.drop(held)
        change = partial(changes.expire_topics, topics=topics)
        self._put(Change(gone, Line(), change=change, apply=lambda _: None))
        return gone


def _nothing(account: str, size: int) -> None:
    pass
