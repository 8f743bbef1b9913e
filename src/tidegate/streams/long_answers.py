"""Long answers that are made as a whole: one account has one of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from tidegate.stores.base import Store
from tidegate.streams.history import pages

SHORT_BYTES = 1 << 20
"""Of a log, 30,000 tokens: what is made of a longer one takes some five times as much, until it is sent."""


class Turns:
    """Taken by account. Short answers wait for nobody."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, stream: str, account: str) -> AsyncGenerator[None]:
        """While the answer of this stream is held for the account. Raises `StreamNotFound`."""
        size = 0
        async for page in pages(self._store, stream):
            size += sum(entry.size for entry in page)
        if size <= SHORT_BYTES:
            yield
            return
        async with self._locks.setdefault(account, asyncio.Lock()):
            yield
