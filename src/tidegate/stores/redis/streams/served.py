"""The streams that this node has to do with: it fills them, or has readers. What many of them want, it reads once."""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tidegate.core.cursor import Cursor
from tidegate.core.log import Page
from tidegate.errors import StreamNotFound
from tidegate.stores.records import Found, Unwatch
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.reading import Piece, found_in, piece_of
from tidegate.stores.redis.script import Script
from tidegate.stores.redis.shared_reads import SharedReads
from tidegate.stores.redis.streams.pages import Pages
from tidegate.stores.redis.window import Window
from tidegate.stores.watchers import wake_all

READ = Script("read")

FORGOTTEN = b"forgotten"
"""The message that a stream is no longer kept."""

MISSED_EVENTS = 512
MISSED_BYTES = 64 << 10
"""What is read at once after the news of a stream was interrupted; readers ask for the rest themselves."""

LATEST = 1 << 53
"""An offset that no log reaches: what is read after it is only how the log is now."""

logger = logging.getLogger("tidegate.stores")


class ServedStream:
    """One stream, as this node has it; the `Listener` of its news.

    It has a `window` as soon as the node knows the stream's end: from its creation where it `fills` the stream, or once
    it has heard the news and read what was before. `missed` says that there was news while that was read.
    """

    __slots__ = ("_streams", "fills", "listening", "missed", "reads", "refreshing", "stream", "watchers", "window")

    def __init__(self, streams: ServedStreams, stream: str, reads: SharedReads) -> None:
        self._streams = streams
        self.stream = stream
        self.reads = reads
        self.window: Window | None = None
        self.watchers: dict[object, Callable[[], None]] = {}
        self.fills = False
        self.listening = False
        self.refreshing = False
        self.missed = False

    def wake(self) -> None:
        # Whoever is woken must not be answered by a read that began before the news.
        self.reads.part()
        wake_all(self.stream, self.watchers)

    def listens(self) -> None:
        self._streams.refresh(self)

    def heard(self, message: bytes) -> None:
        if message == FORGOTTEN:
            self.forget()
            return
        head, _, events = message.partition(b"\n")
        epoch, after, tail = head.split(b" ")
        self._grow(epoch.decode(), int(after), int(tail), events.split(b"\n") if events else ())

    def forget(self) -> None:
        """Notes that the stream is no longer kept: whoever reads it is told so."""
        self.window = None
        self._streams.pages.forget(self.stream)
        self.wake()

    def _grow(self, epoch: str, after: int, tail: int, events: Sequence[bytes]) -> None:
        """Takes events that were appended after the offset, up to `tail`; without them they have to be read."""
        window = self.window
        # What is being read may be older than this.
        self.missed = self.missed or self.refreshing
        if window is None:
            return
        # Where another epoch began, only Redis knows: perhaps before what this node has seen, and Redis has lost.
        if epoch != window.cursor.epoch:
            self._streams.refresh(self)
        elif len(events) == tail - after and window.add(epoch, after, events):
            self.wake()
        elif tail > window.tail:
            self._streams.refresh(self)


class ServedStreams:
    """All of them, by id, and the `pages` that many readers may want."""

    def __init__(self, shards: Shards, keys: Keys) -> None:
        self.pages = Pages()
        self._shards = shards
        self._keys = keys
        self._served: dict[str, ServedStream] = {}

    def get(self, stream: str) -> ServedStream | None:
        return self._served.get(stream)

    def fill(self, stream: str, window: Window) -> ServedStream:
        """Notes that this node fills the stream: its own appends are its news."""
        served = self._of(stream)
        served.fills = True
        served.window = window
        self._listen(served)
        return served

    def unfill(self, stream: str) -> None:
        """Notes that the stream has ended, or is filled by another node from now on."""
        if (served := self._served.get(stream)) is not None and served.fills:
            served.fills = False
            self._listen(served)
            self._let_go(served)

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        served = self._of(stream)
        key = object()
        served.watchers[key] = wake
        self._listen(served)
        return partial(self._unwatch, served, key)

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        """See `Log.read`. Waits for as long as Redis is away."""
        served = self._served.get(stream)
        if served is None:
            return self._reads(stream).read(after, limit=limit, max_bytes=max_bytes)
        window = served.window
        if window is not None and (found := window.read(after, limit=limit, max_bytes=max_bytes)) is not None:
            return found
        page = self.pages.get((stream, after, limit, max_bytes))
        return page or served.reads.read(after, limit=limit, max_bytes=max_bytes)

    def refresh(self, served: ServedStream) -> None:
        """Reads what is missing between the window and Redis, and wakes the readers."""
        if served.refreshing:
            # What is being read may be older than what is to be read.
            served.missed = True
            return
        served.refreshing, served.missed = True, False
        tail = served.window.tail if served.window is not None else LATEST
        asked = self._ask(served.stream, tail, MISSED_EVENTS, MISSED_BYTES)
        asked.add_done_callback(partial(self._refreshed, served))

    def clear(self) -> None:
        """Forgets everything, since the store is closed."""
        self._served.clear()
        self.pages.clear()

    # Redis

    def _reads(self, stream: str) -> SharedReads:
        return SharedReads(partial(self._found, stream))

    async def _found(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        offset = after.offset if after is not None else 0
        piece = _piece(stream, await self._ask(stream, offset, limit, max_bytes), offset)
        found = found_in(piece, after, limit=limit, max_bytes=max_bytes)
        if isinstance(found, Page) and found.more and stream in self._served:
            self.pages.keep((stream, after, limit, max_bytes), found)
        return found

    def _ask(self, stream: str, offset: int, limit: int, max_bytes: int) -> Future[Any]:
        keys = (self._keys.record(stream), self._keys.log(stream))
        return self._shards.read(keys[0], READ(keys, offset, limit, max_bytes), within=FOR_EVER)

    def _refreshed(self, served: ServedStream, done: Future[Any]) -> None:
        served.refreshing = False
        if self._served.get(served.stream) is not served or done.cancelled() or done.exception() is not None:
            return
        if served.fills:
            # This node has taken the stream over since, and knows better.
            return
        try:
            piece = _piece(served.stream, done.result(), served.window.tail if served.window is not None else 0)
        except StreamNotFound:
            served.forget()
            return
        if self._renew(served, piece) or served.missed:
            self.refresh(served)
        served.wake()

    def _renew(self, served: ServedStream, piece: Piece) -> bool:
        """Brings the window up to what Redis has; whether there is more to read."""
        window = served.window
        if window is not None and window.is_ahead(piece.epochs, piece.tail):
            # Redis has lost what this node has seen, and may get it again from the node that fills the stream.
            return False
        if window is None or not window.is_before(piece.epochs, piece.tail):
            if window is not None:
                logger.warning("Redis has lost events of stream %s: it goes on at offset %d", served.stream, piece.tail)
                self.pages.forget(served.stream)
            served.window = Window(piece.epochs, piece.tail, ended=piece.ended)
            return False
        window.take(piece.epochs, piece.after, piece.events)
        return window.tail < piece.tail

    # What is served

    def _of(self, stream: str) -> ServedStream:
        served = self._served.get(stream)
        if served is None:
            served = self._served[stream] = ServedStream(self, stream, self._reads(stream))
        return served

    def _listen(self, served: ServedStream) -> None:
        """Listens to a stream's news for as long as it has readers here and is not filled here."""
        wanted = bool(served.watchers) and not served.fills
        if wanted and not served.listening:
            self._shards.listen(self._keys.news_of(served.stream), served)
        elif served.listening and not wanted:
            self._shards.ignore(self._keys.news_of(served.stream))
        served.listening = wanted

    def _unwatch(self, served: ServedStream, key: object) -> None:
        if served.watchers.pop(key, None) is not None:
            self._listen(served)
            self._let_go(served)

    def _let_go(self, served: ServedStream) -> None:
        if not served.watchers and not served.fills and self._served.get(served.stream) is served:
            del self._served[served.stream]
            self.pages.forget(served.stream)


def _piece(stream: str, answer: Sequence[Any], offset: int) -> Piece:
    if answer[0] == b"missing":
        raise StreamNotFound(f"there is no stream {stream[:64]!r}")
    return piece_of(answer, offset)
