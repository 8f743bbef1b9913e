from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .redis_pair import RedisPair

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[RedisPair]:
    pair = RedisPair(tmp_path, nodes=2)
    await pair.open()
    yield pair
    await pair.close()


async def put(pair: RedisPair, node: int, value: str) -> None:
    async with Redis.from_url(pair.urls[node]) as client:
        await client.set("key", value)


async def got(pair: RedisPair, node: int) -> str | None:
    async with Redis.from_url(pair.urls[node], decode_responses=True) as client:
        return await client.get("key")


async def test_all_that_was_acknowledged_survives_a_kill(pair: RedisPair) -> None:
    """So it does a SIGTERM, and a failover to a replica that has it."""
    await put(pair, 0, "kept")
    await pair.kill()
    await pair.start()
    assert await got(pair, 1) == "kept"
    await pair.terminate()
    await pair.start()
    assert await got(pair, 1) == "kept"
    await pair.mend()
    await pair.replicated()
    await pair.promote()
    await pair.change_places()
    assert await got(pair, 0) == "kept"


async def test_what_the_other_master_acknowledges_is_lost(pair: RedisPair) -> None:
    """Each node writes to where it is, and all go on with what the promoted one has, its next replica among them."""
    await pair.replicated()
    await pair.promote()
    pair.repoint(1)
    await put(pair, 0, "lost")
    await put(pair, 1, "kept")
    assert [await got(pair, node) for node in range(2)] == ["lost", "kept"]
    await pair.change_places()
    assert [await got(pair, node) for node in range(2)] == ["kept", "kept"]
    await pair.mend()
    await pair.promote()
    await pair.change_places()
    assert [await got(pair, node) for node in range(2)] == ["kept", "kept"]


async def test_a_node_can_be_cut_off_alone(pair: RedisPair) -> None:
    """It is refused, or gets no answer whichever connection it tries, and the other one notices nothing."""
    line = pair.lines[0]
    for isolate, error in ((line.refuse, RedisError), (line.swallow, TimeoutError), (line.stall, TimeoutError)):
        isolate()
        with pytest.raises(error):
            async with asyncio.timeout(0.1):
                await put(pair, 0, "never")
        await put(pair, 1, "kept")
        line.mend()
        assert await got(pair, 0) == "kept"
