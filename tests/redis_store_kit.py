"""Redis stores for tests: several on one Redis are several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import Delta, Event, Started
from tidegate.core.log import Page
from tidegate.core.notices import Gap
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.redis.link.one_shard import OneShard
from tidegate.stores.redis.store import RedisSettings, RedisStore
from tidegate.stores.redis.url import parse

SETTINGS = RedisSettings(
    prefix="tidegate",
    max_generation_bytes=1 << 20,
    max_stored_bytes=0,
    max_stored_bytes_each=0,
    topic_history=1000,
    retention_seconds=60,
    patience_seconds=5,
)


def redis_store(url: str, *, password_file: str = "", **changes: Any) -> RedisStore:
    place = msgspec.structs.replace(parse(url), password_file=password_file)
    return RedisStore(place, msgspec.structs.replace(SETTINGS, **changes), now=time)


def lead_to(store: RedisStore, url: str) -> None:
    """From the next connection on, the store uses another server."""
    address = parse(url).hosts[0]

    async def find() -> tuple[str, int]:
        return address

    assert isinstance(store.shards, OneShard)
    store.shards._find = find


async def begun(store: RedisStore, stream: str = "gen_1", *, owner: str = "anna") -> Fence:
    """A stream with its first event."""
    record = StreamRecord(id=stream, owner=owner, model="m", created_at=1.0)
    fence = await store.create(record, [Started(stream, "m", 1.0)])
    assert isinstance(fence, Fence)
    return fence


async def said(store: RedisStore, fence: Fence, expected: int, *texts: str) -> int:
    """Appends one piece for each text."""
    return await store.append([Delta(text) for text in texts], fence=fence, expected=expected)


async def found(store: RedisStore, stream: str = "gen_1", after: Cursor | None = None) -> Page | Gap:
    answer = store.read(stream, after, limit=1000, max_bytes=1 << 20)
    return answer if isinstance(answer, Page | Gap) else await answer


async def events(store: RedisStore, stream: str = "gen_1", after: Cursor | None = None) -> Sequence[Event]:
    page = await found(store, stream, after)
    assert isinstance(page, Page)
    return [entry.event for entry in page.entries]
