"""The streams that this node has to do with: it fills them, or has readers. What many of them want, it reads once."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tidegate.core.cursor import Cursor
from tidegate.core.log import Page
from tidegate.errors import StoreUnavailable, StreamNotFound
from tidegate.stores.records import Found, Unwatch
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.lane import FOR_EVER
from tidegate.stores.redis.reading import Piece, found_in, piece_of
from tidegate.stores.redis.script import Script
from tidegate.stores.redis.shards import Shards
from tidegate.stores.redis.window import Window
from tidegate.stores.watchers import wake_all

READ = Script("read")

FORGOTTEN = b"forgotten"
"""The message that a stream is no longer kept."""

PAGES_BYTES = 32 << 20
"""Pages that many readers may want, all streams together: 500 pages, which a replay is sent in."""

MISSED_EVENTS = 512
MISSED_BYTES = 64 << 10
"""What is read at once after the news of a stream was interrupted; readers ask for the rest themselves."""

logger = logging.getLogger("tidegate.stores")

Asked = tuple[Cursor | None, int, int]


class Held:
    """One stream, as this node has it; the `Listener` of its news.

    It has a `window` as soon as the node knows the stream's end: from its creation where it `fills` the stream, or once
    it has heard the news and read what was before.
    """

    __slots__ = (
        "_node",
        "fills",
        "listening",
        "missed",
        "pages",
        "reading",
        "refreshing",
        "stream",
        "watchers",
        "window",
    )

    def __init__(self, node: HeldStreams, stream: str) -> None:
        self._node = node
        self.stream = stream
        self.window: Window | None = None
        self.watchers: dict[object, Callable[[], None]] = {}
        self.fills = False
        self.listening = False
        self.refreshing = False
        self.missed = False
        self.reading: dict[Asked, list[Future[Found]]] = {}
        self.pages: dict[Asked, Page] = {}

    def wake(self) -> None:
        wake_all(self.stream, self.watchers)

    def listens(self) -> None:
        self._node.refresh(self)

    def heard(self, message: bytes) -> None:
        if message == FORGOTTEN:
            self.forget()
            return
        head, _, events = message.partition(b"\n")
        epoch, after, tail = head.split(b" ")
        self.grow(epoch.decode(), int(after), int(tail), events.split(b"\n") if events else ())

    def forget(self) -> None:
        """Notes that the stream is no longer kept: whoever reads it is told so."""
        self.window = None
        self._node.drop_pages(self)
        self.wake()

    def grow(self, epoch: str, after: int, tail: int, events: Sequence[bytes]) -> None:
        """Takes events that were appended after the offset, up to `tail`; without them they have to be read."""
        window = self.window
        # What is being read may be older than this.
        self.missed = self.refreshing
        if window is None:
            return
        # Where another epoch began, only Redis knows: perhaps before what this node has seen, and Redis has lost.
        if epoch != window.cursor.epoch:
            self._node.refresh(self)
        elif len(events) == tail - after and window.add(epoch, after, events):
            self.wake()
        elif tail > window.tail:
            self._node.refresh(self)


class HeldStreams:
    """All of them, by id."""

    def __init__(self, shards: Shards, keys: Keys) -> None:
        self._shards = shards
        self._keys = keys
        self._held: dict[str, Held] = {}
        self._pages_bytes = 0
        # The pages of all streams in the order in which they were read.
        self._pages: dict[tuple[Held, Asked], int] = {}

    def get(self, stream: str) -> Held | None:
        return self._held.get(stream)

    def fill(self, stream: str, window: Window | None) -> Held:
        """Notes that this node fills the stream: its own appends are its news."""
        held = self._held.get(stream) or self._held.setdefault(stream, Held(self, stream))
        held.fills = True
        if window is not None:
            held.window = window
        self._listen(held)
        return held

    def unfill(self, stream: str) -> None:
        """Notes that the stream has ended, or is filled by another node from now on."""
        if (held := self._held.get(stream)) is not None and held.fills:
            held.fills = False
            self._listen(held)
            self._let_go(held)

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        held = self._held.get(stream) or self._held.setdefault(stream, Held(self, stream))
        key = object()
        held.watchers[key] = wake
        self._listen(held)
        return partial(self._unwatch, held, key)

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found | Future[Found]:
        """See `Log.read`. Waits for as long as Redis is away."""
        held = self._held.get(stream)
        if held is None:
            return asyncio.ensure_future(self._read_alone(stream, after, limit, max_bytes))
        if held.window is not None and (found := held.window.read(after, limit=limit, max_bytes=max_bytes)) is not None:
            return found
        asked = (after, limit, max_bytes)
        if (page := held.pages.get(asked)) is not None:
            return page
        answer: Future[Found] = asyncio.get_running_loop().create_future()
        waiting = held.reading.setdefault(asked, [])
        waiting.append(answer)
        if len(waiting) == 1:
            offset = after.offset if after is not None else 0
            self._ask(stream, offset, limit, max_bytes).add_done_callback(partial(self._answered, held, asked))
        return answer

    def refresh(self, held: Held) -> None:
        """Reads what is missing between the window and Redis, and wakes the readers."""
        if not held.refreshing:
            held.refreshing, held.missed = True, False
            tail = held.window.tail if held.window is not None else LATEST
            self._ask(held.stream, tail, MISSED_EVENTS, MISSED_BYTES).add_done_callback(partial(self._refreshed, held))

    def drop_pages(self, held: Held) -> None:
        for asked in held.pages:
            self._pages_bytes -= self._pages.pop((held, asked))
        held.pages.clear()

    def clear(self) -> None:
        """Forgets everything, since the store is closed."""
        self._held.clear()
        self._pages.clear()
        self._pages_bytes = 0

    # Redis

    def _ask(self, stream: str, offset: int, limit: int, max_bytes: int) -> Future[Any]:
        keys = (self._keys.record(stream), self._keys.log(stream))
        return self._shards.read(keys[0], READ(keys, offset, limit, max_bytes), within=FOR_EVER)

    async def _read_alone(self, stream: str, after: Cursor | None, limit: int, max_bytes: int) -> Found:
        offset = after.offset if after is not None else 0
        return found_in(
            _piece(stream, await self._ask(stream, offset, limit, max_bytes), offset),
            after,
            limit=limit,
            max_bytes=max_bytes,
        )

    def _answered(self, held: Held, asked: Asked, done: Future[Any]) -> None:
        after, limit, max_bytes = asked
        waiting = held.reading.pop(asked, ())
        found: Found | Exception
        try:
            piece = _piece(held.stream, done.result(), after.offset if after is not None else 0)
            found = found_in(piece, after, limit=limit, max_bytes=max_bytes)
        except (StoreUnavailable, StreamNotFound) as error:
            found = error
        if isinstance(found, Page) and found.more and self._held.get(held.stream) is held:
            self._keep_page(held, asked, found)
        for each in waiting:
            if each.done():
                continue
            if isinstance(found, Exception):
                each.set_exception(found)
            else:
                each.set_result(found)

    def _refreshed(self, held: Held, done: Future[Any]) -> None:
        held.refreshing = False
        if self._held.get(held.stream) is not held or done.cancelled() or done.exception() is not None:
            return
        try:
            piece = _piece(held.stream, done.result(), held.window.tail if held.window is not None else 0)
        except StreamNotFound:
            held.forget()
            return
        if self._renew(held, piece) or held.missed:
            self.refresh(held)
        held.wake()

    def _renew(self, held: Held, piece: Piece) -> bool:
        """Brings the window up to what Redis has; whether there is more to read."""
        window = held.window
        if window is not None and window.is_ahead(piece.epochs, piece.tail):
            # Redis has lost what this node has seen, and may get it again from the node that fills the stream.
            return False
        if window is None or not window.is_before(piece.epochs, piece.tail):
            if window is not None:
                logger.warning("Redis has lost events of stream %s: it goes on at offset %d", held.stream, piece.tail)
                self.drop_pages(held)
            held.window = Window(piece.epochs, piece.tail, ended=piece.ended)
            return False
        window.take(piece.epochs, piece.after, piece.events)
        return window.tail < piece.tail

    # What is held

    def _listen(self, held: Held) -> None:
        """Listens to a stream's news for as long as it has readers here and is not filled here."""
        wanted = bool(held.watchers) and not held.fills
        if wanted and not held.listening:
            self._shards.listen(self._keys.news_of(held.stream), held)
        elif held.listening and not wanted:
            self._shards.ignore(self._keys.news_of(held.stream))
        held.listening = wanted

    def _unwatch(self, held: Held, key: object) -> None:
        if held.watchers.pop(key, None) is not None:
            self._listen(held)
            self._let_go(held)

    def _let_go(self, held: Held) -> None:
        if not held.watchers and not held.fills and self._held.get(held.stream) is held:
            del self._held[held.stream]
            self.drop_pages(held)

    def _keep_page(self, held: Held, asked: Asked, page: Page) -> None:
        size = sum(entry.size for entry in page.entries)
        held.pages[asked] = page
        self._pages[held, asked] = size
        self._pages_bytes += size
        while self._pages_bytes > PAGES_BYTES:
            oldest, its = next(iter(self._pages))
            self._pages_bytes -= self._pages.pop((oldest, its))
            del oldest.pages[its]


LATEST = 1 << 53
"""An offset that no log reaches: what is read after it is only how the log is now."""


def _piece(stream: str, answer: Sequence[Any], offset: int) -> Piece:
    if answer[0] == b"missing":
        raise StreamNotFound(f"there is no stream {stream[:64]!r}")
    return piece_of(answer, offset)
