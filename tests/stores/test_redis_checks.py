from __future__ import annotations

import logging

import pytest
from redis_kit import RedisServer
from redis_store_kit import redis_store

from tidegate.errors import ConfigError
from tidegate.stores.redis.checks import check, check_version, warnings
from tidegate.stores.redis.link.shards_at import shards_at
from tidegate.stores.redis.url import parse

SOUND = {"redis_version": "7.2.4", "maxmemory": "0", "maxmemory_policy": "noeviction", "aof_enabled": "1"}


@pytest.mark.parametrize("version", ["5.0.14", "6.0.20"])
def test_a_redis_that_is_too_old_is_refused(version: str) -> None:
    """The error names the setting, and what will do."""
    with pytest.raises(ConfigError, match=r"store\.url: Redis .* is too old: 6\.2 is the oldest"):
        check_version({"redis_version": version})


@pytest.mark.parametrize("version", ["6.2.0", "7.2.4", "8.0.1", "255.255.255"])
def test_a_redis_that_is_new_enough_is_taken(version: str) -> None:
    """Valkey says which Redis it is like."""
    check_version({"redis_version": version})


def test_what_endangers_streams_is_said() -> None:
    """And what to do; a sound server is not talked about."""
    assert list(warnings(SOUND)) == []
    assert list(warnings({**SOUND, "maxmemory_policy": "allkeys-lru"})) == []
    (eviction,) = warnings({**SOUND, "maxmemory": "1000", "maxmemory_policy": "allkeys-lru"})
    assert "set its maxmemory-policy to noeviction" in eviction
    (memory,) = warnings({**SOUND, "aof_enabled": "0"})
    assert "set its appendonly to yes" in memory


@pytest.mark.anyio
async def test_it_is_looked_up_in_a_real_one(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """This one keeps no file."""
    its = shards_at(parse(redis_url))
    await its.open()
    with caplog.at_level(logging.WARNING):
        await check(its)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Redis keeps no append-only file"]
    await its.close()


@pytest.mark.anyio
async def test_nodes_of_one_layout_work_side_by_side(server: RedisServer) -> None:
    """The first one notes it, for as long as nodes renew their leases; keys of another prefix are another store's."""
    first, second, apart = (redis_store(server.url, prefix=prefix) for prefix in ("a", "a", "b"))
    for store in (first, second, apart):
        await store.open()
    with server.client() as client:
        assert [client.get(store.keys.layout) for store in (first, apart)] == ["1", "1"]
        client.pexpire(first.keys.layout, 60_000)
        await first.join("node", 5.0).renew()
        assert client.pttl(first.keys.layout) > 60_000
    for store in (first, second, apart):
        await store.close()


@pytest.mark.anyio
async def test_keys_of_another_layout_are_left_alone(server: RedisServer) -> None:
    """A version that would misread them does not begin, and says what to do."""
    store = redis_store(server.url)
    with server.client() as client:
        client.set(store.keys.layout, "2")
        with pytest.raises(ConfigError, match=r"their layout is 2, this one has 1\): use that version") as told:
            await store.open()
        assert told.value.key == ("store", "prefix")
        assert client.keys("*") == [store.keys.layout]
    await store.close()
