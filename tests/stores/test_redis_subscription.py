from __future__ import annotations

import asyncio
import logging

import pytest
from eventually_kit import eventually
from redis_store_kit import redis_store

from tidegate.stores.redis.link import subscription

pytestmark = pytest.mark.anyio


class Ears:
    """A listener that notes when it begins to hear."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    def heard(self, message: bytes) -> None: ...

    def listens(self) -> None:
        self.began.set()


async def test_a_connection_without_channels_stays_open(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis answers its PING in another form then."""
    monkeypatch.setattr(subscription, "PING_SECONDS", 0.02)
    caplog.set_level(logging.ERROR, "tidegate.stores")
    store = redis_store(redis_url)
    await store.open()
    news = store.shards._shard.news  # type: ignore[attr-defined]
    first, later = Ears(), Ears()
    store.shards.listen("first", first)
    await asyncio.wait_for(first.began.wait(), 2)
    connection = news._connection
    store.shards.ignore("first")
    heard_at = news._heard_at
    await eventually(lambda: news._heard_at > heard_at + 0.05)
    store.shards.listen("later", later)
    await asyncio.wait_for(later.began.wait(), 2)
    assert news._connection is connection
    assert not caplog.records
    await store.close()
