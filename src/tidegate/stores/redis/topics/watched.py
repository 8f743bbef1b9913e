"""A topic that readers of this node watch: one channel of the node's subscription, and a window of the newest events.

Subscribe, then read, then drain: whenever the channel begins to be heard, the node reads what it may have missed, and
wakes the readers then.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tidegate.core.cursor import Cursor
from tidegate.core.log import Page
from tidegate.core.notices import Gap
from tidegate.errors import StoreUnavailable, StreamNotFound
from tidegate.stores.records import Found, Unwatch
from tidegate.stores.redis.shared_reads import SharedReads
from tidegate.stores.redis.topics.record import news_of
from tidegate.stores.redis.window import WINDOW_BYTES, WINDOW_EVENTS, Window
from tidegate.stores.watchers import wake_all

logger = logging.getLogger("tidegate.stores")


class Source(Protocol):
    """Where topics are. Each call takes as long as Redis is away."""

    async def found(self, topic: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        """As `Log.read`. Raises `StreamNotFound` where there is no topic."""
        ...

    async def reopened(self, topic: str) -> Cursor:
        """The tail of the topic, which begins anew where Redis has lost it."""
        ...


class WatchedTopic:
    """The watchers of one topic, and its `window`, which begins at a position that was the tail a moment ago.

    `behind` says that Redis has, or may have, something else after the window's tail; `missed`, that there was news of
    that since Redis was asked last.
    """

    def __init__(self, topic: str, at: Cursor, source: Source, *, on_left: Callable[[], None]) -> None:
        self.topic = topic
        self.window = _window(at)
        self.behind = True
        self.missed = False
        self._source = source
        self._on_left = on_left
        self._reads = SharedReads(self._found)
        self._watchers: dict[object, Callable[[], None]] = {}
        self._reading: asyncio.Task[None] | None = None

    def watch(self, wake: Callable[[], None]) -> Unwatch:
        key = object()
        self._watchers[key] = wake
        return partial(self._leave, key)

    def read(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        """As `Log.read`: from the window or, where that does not know, or may not be what Redis has, from Redis."""
        found = None if self.behind else self.window.read(after, limit=limit, max_bytes=max_bytes)
        return found or self._reads.read(after, limit=limit, max_bytes=max_bytes)

    def published(self, at: Cursor, json: bytes | None) -> None:
        """Notes that the topic has an event at this position, and its JSON where that is known.

        Nobody can tell from an event of another epoch after which event that epoch has begun: Redis has to be asked.
        """
        tail = self.window.cursor
        if at.epoch == tail.epoch and at.offset <= tail.offset:
            return
        if at.epoch == tail.epoch and json is not None and self.window.add(at.epoch, at.offset - 1, (json,)):
            self.wake()
            return
        self._catch_up()

    def wake(self) -> None:
        # Whoever is woken must not be answered by a read that began before the news.
        self._reads.part()
        wake_all(self.topic, self._watchers)

    def close(self) -> None:
        """Stops reading."""
        if self._reading is not None:
            self._reading.cancel()

    # As a `Listener`

    def heard(self, message: bytes) -> None:
        self.published(*news_of(message))

    def listens(self) -> None:
        self._catch_up()

    def _leave(self, key: object) -> None:
        if self._watchers.pop(key, None) and not self._watchers:
            self._on_left()

    async def _found(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        found = await self._in_redis(after, limit=limit, max_bytes=max_bytes)
        if isinstance(found, Gap) and self.window.read(after, limit=1, max_bytes=1) is not None:
            # Redis has lost what the window still has, and nobody has published since.
            self._catch_up()
        return found

    def _catch_up(self) -> None:
        self.behind = self.missed = True
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read_on())

    async def _read_on(self) -> None:
        """Reads from Redis until the window is at the tail. Where that fails, readers ask Redis themselves and are told
        why; the next news tries again."""
        try:
            while self.behind:
                self.missed = False
                news = await self._news()
                before = self.window.cursor
                more = self._take(news)
                self.behind = self.missed or more
                if self.window.cursor != before:
                    self.wake()
        except StoreUnavailable:
            logger.debug("the news of %s could not be read", self.topic, exc_info=True)
        finally:
            self._reading = None

    async def _news(self) -> Page | Cursor:
        """What Redis has after the window's tail; its own tail where that of the window is lost."""
        found = await self._in_redis(self.window.cursor, limit=WINDOW_EVENTS, max_bytes=WINDOW_BYTES)
        return found if isinstance(found, Page) else await self._source.reopened(self.topic)

    def _take(self, news: Page | Cursor) -> bool:
        """Brings the window up to what was read, and returns whether there is more."""
        if isinstance(news, Cursor):
            self.window = _window(news)
            return False
        fits = all(self.window.add(entry.epoch, entry.offset - 1, (entry.json,)) for entry in news.entries)
        # What does not fit was heard from a server whose last events are lost.
        return news.more or not fits

    async def _in_redis(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        """As `Log.read`; where Redis has lost the topic, it goes on for those who watch it."""
        try:
            return await self._source.found(self.topic, after, limit=limit, max_bytes=max_bytes)
        except StreamNotFound:
            at = await self._source.reopened(self.topic)
            return Gap(after, at) if after is not None else Page((), at, more=False)


def _window(at: Cursor) -> Window:
    """An empty window. What was before it is for Redis to say: so it does not matter where its epoch began."""
    return Window([(at.epoch, 0)], at.offset)
