"""Long answers that are sent as a whole: each account gets one of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from tidegate.stores.base import Store
from tidegate.streams.history import pages

SHORT_BYTES = 1 << 20
"""The longest log that counts as short, in bytes: 30,000 tokens. The answer made of a log takes some five times the
log's memory until it is sent."""


class Turns:
    """One turn per account for long answers. Short answers do not wait."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, stream: str, account: str) -> AsyncGenerator[None]:
        """Holds the account's turn while the answer of this stream is in memory. Raises `StreamNotFound`."""
        size = 0
        async for page in pages(self._store, stream):
            size += sum(entry.size for entry in page)
        if size <= SHORT_BYTES:
            yield
            return
        async with self._locks.setdefault(account, asyncio.Lock()):
            yield
