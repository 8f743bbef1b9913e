"""Reads what a log holds so far, from its beginning."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncGenerator, Sequence

from tidegate.core.cursor import Cursor
from tidegate.core.events import Event
from tidegate.core.fold import Fold
from tidegate.core.log import Entry, are
from tidegate.core.notices import Gap
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Store
from tidegate.stores.records import Look

PAGE_ENTRIES = 4096
PAGE_BYTES = 1 << 20
"""How much of a log is read in one turn of the loop: about half a millisecond of work."""


async def pages(store: Store, stream: str) -> AsyncGenerator[Sequence[Entry]]:
    """The log so far, in small pages between which the loop runs other tasks. Raises `StreamNotFound`."""
    after, more = None, True
    while more:
        answer = store.read(stream, after, limit=PAGE_ENTRIES, max_bytes=PAGE_BYTES)
        found = await answer if isinstance(answer, Future) else answer
        if isinstance(found, Gap):
            raise StreamNotFound(f"there is no stream {stream[:64]!r}")
        after, more = found.after, found.more
        yield found.entries
        await asyncio.sleep(0)


async def fold(store: Store, stream: str, *, most: int | None = None) -> Fold:
    """The log so far, folded; only its first event if the log has more than `most` bytes."""
    folded, size = Fold(), 0
    first: Sequence[Entry] = ()
    async for page in pages(store, stream):
        first = first or page[:1]
        size += sum(entry.size for entry in page)
        if most is not None and size > most:
            folded = Fold()
            folded.add(first)
            break
        folded.add(page)
    return folded


async def beginning(store: Store, stream: str) -> Cursor:
    """The position before the first event. Raises `StreamNotFound`."""
    answer = store.read(stream, None, limit=1, max_bytes=1)
    found = await answer if isinstance(answer, Future) else answer
    if isinstance(found, Gap):
        raise StreamNotFound(f"there is no stream {stream[:64]!r}")
    return Cursor(found.after.epoch, 0)


async def ended(store: Store, stream: str) -> Look:
    """Waits until the stream has an end, whichever node writes it, and looks at it. Raises `StreamNotFound`."""
    news = asyncio.Event()
    unwatch = store.watch(stream, news.set)
    try:
        while (found := await store.look(stream)).record.end is None:
            await news.wait()
            news.clear()
        return found
    finally:
        unwatch()


async def holds(store: Store, stream: str, after: int, events: Sequence[Event]) -> bool:
    """Whether the log has exactly these events right after the offset, so that appending them is a repetition."""
    if not events or after + len(events) > (await store.tail(stream)).offset:
        return False
    at, found = await store.position(stream, after), 0
    while found < len(events):
        answer = store.read(stream, at, limit=min(PAGE_ENTRIES, len(events) - found), max_bytes=PAGE_BYTES)
        page = await answer if isinstance(answer, Future) else answer
        if isinstance(page, Gap) or not are(page.entries, events[found : found + len(page.entries)]):
            return False
        at, found = page.after, found + len(page.entries)
        await asyncio.sleep(0)
    return True
