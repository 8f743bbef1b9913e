"""Redis where Sentinels watch over it, and where it is a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually_kit import eventually
from port_kit import free_port
from redis_kit import RedisCluster, RedisServer, Sentinels
from redis_store_kit import begun, events, redis_store, said

from tidegate.core.events import Completed, Delta, Started, Usage
from tidegate.errors import ConfigError, StoreUnavailable
from tidegate.stores.records import Claim, Claimed, Share, StreamRecord
from tidegate.stores.redis.link.cluster import ClusterShards
from tidegate.stores.redis.link.shards_at import shards_at
from tidegate.stores.redis.store import RedisStore
from tidegate.stores.redis.url import parse

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def cluster(masters: RedisCluster) -> RedisCluster:
    """Three masters with nothing in them."""
    masters.flush()
    return masters


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """Three Sentinels, a master and its replica."""
    sentinels = Sentinels(tmp_path)
    try:
        sentinels.start()
        yield sentinels
    finally:
        sentinels.kill()


async def test_a_cluster_has_all_that_one_server_has(cluster: RedisCluster) -> None:
    """Streams, readers elsewhere, claims, shares and lists, spread over its masters."""
    near, far = redis_store(cluster.url), redis_store(cluster.url)
    await near.open()
    await far.open()
    fences = [await begun(near, f"gen_{number}") for number in range(12)]
    for fence in fences:
        far.watch(fence.stream, lambda: None)
    assert await asyncio.gather(*(said(near, fence, 1, "a", "b") for fence in fences)) == [3] * 12
    for fence in fences:
        await eventually(lambda fence=fence: (h := far.served.get(fence.stream)) and h.window and h.window.tail == 3)
        assert (await events(far, fence.stream))[1:] == [Delta("a"), Delta("b")]
    looks = await far.list(owner="anna", status=None, before=None, limit=20)
    assert [look.record.id for look in looks] == [fence.stream for fence in reversed(fences)]
    claim = Claim("key", b"body")
    record = StreamRecord(id="gen_claimed", owner="anna", model="m", created_at=1.0)
    await near.create(record, [Started("gen_claimed", "m", 1.0)], claim=claim)
    assert await far.claimed(claim) == Claimed("gen_claimed")
    await near.share(Share(b"digest", "gen_0", 1e10))
    assert await far.shared(b"digest") == Share(b"digest", "gen_0", 1e10)
    for fence in fences:
        await near.append([END], fence=fence, expected=3)
    await eventually(lambda: near.shards.health.since is None)
    assert await far.expire(1e10) == 12
    await near.close()
    await far.close()


async def test_nodes_on_a_cluster_know_of_each_other(cluster: RedisCluster) -> None:
    """What they hold is known before a stream is created on another master; counts and buckets are all nodes'."""
    near, far = redis_store(cluster.url), redis_store(cluster.url)
    await near.open()
    await far.open()
    nodes = [near.join("near", 5.0), far.join("far", 5.0)]
    for node in nodes:
        await node.renew()
    await eventually(lambda: [node.others for node in nodes] == [1, 1])
    nodes[0].hold("gen_1")
    await begun(near)
    held = near.keys.held
    assert await near.shards.read(held, ("HGET", held, "gen_1"), within=2) == b"1:near"
    nodes[0].add("readers", "gen_1", 2)
    await eventually(lambda: nodes[1].total("readers", "gen_1") == 2)
    assert nodes[0].buckets("requests", 1.0, 2).of("anna", 0.0).take(2, 0.0)
    await eventually(lambda: not nodes[1].buckets("requests", 1.0, 2).of("anna", 0.0).take(1, 0.0))
    await nodes[0].leave()
    await eventually(lambda: nodes[1].orphaned == 1)
    async with asyncio.timeout(10):
        assert (await anext(nodes[1].orphans())).record.id == "gen_1"
    await nodes[1].leave()
    await near.close()
    await far.close()


async def test_slots_that_move_take_their_streams_along(cluster: RedisCluster) -> None:
    """A master that has got a slot from another one is found, and nothing is lost or doubled meanwhile."""
    store = redis_store(cluster.url)
    await store.open()
    fences = [await begun(store, f"gen_{number}") for number in range(6)]
    await asyncio.to_thread(move_all, cluster, fences[0].stream)
    for fence in fences:
        assert await said(store, fence, 1, "a") == 2
        assert (await events(store, fence.stream))[1:] == [Delta("a")]
    await store.close()


def move_all(cluster: RedisCluster, stream: str) -> None:
    """Moves the slot of one stream to the next master."""
    with cluster.masters[0].client() as client:
        slot = client.execute_command("CLUSTER KEYSLOT", f"{{{stream}}}")
    source = cluster.masters[slot % 3]
    target = cluster.masters[(slot + 1) % 3]
    with source.client() as old, target.client() as new:
        ids = {name: client.execute_command("CLUSTER MYID") for name, client in (("old", old), ("new", new))}
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids["old"])
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids["new"])
        keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
        old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for client in (new, old):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids["new"])
    for master in cluster.masters:
        with master.client() as client:
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids["new"])


async def test_a_failover_by_sentinels_loses_no_stream(sentinels: Sentinels) -> None:
    """Who fills a stream goes on at the new master."""
    store = redis_store(sentinels.url, patience_seconds=20)
    await store.open()
    fence = await begun(store)
    await said(store, fence, 1, "a")
    sentinels.master.kill()
    assert await said(store, fence, 2, "b") == 3
    assert (await events(store))[1:] == [Delta("a"), Delta("b")]
    await store.close()


async def test_a_password_is_read_from_its_file(tmp_path: Path) -> None:
    """A wrong one is a mistake in the configuration, and is said at once."""
    server = RedisServer(tmp_path / "redis", {"requirepass": "secret"})
    server.start()
    try:
        secret = tmp_path / "password"
        secret.write_text("secret\n")
        store = redis_store(f"redis://{server.address}/0", password_file=str(secret))
        await store.open()
        await begun(store)
        await store.close()
        with pytest.raises(ConfigError, match="no database 99"):
            await redis_store(f"redis://{server.address}/99", password_file=str(secret)).open()
        secret.write_text("wrong")
        with pytest.raises(ConfigError, match="refuses the login"):
            await redis_store(f"redis://{server.address}/0", password_file=str(secret)).open()
    finally:
        server.kill()


async def used(store: RedisStore) -> None:
    await store.open()
    await asyncio.gather(*(begun(store, f"gen_{n}") for n in range(9)))


async def test_a_member_of_a_cluster_is_no_lone_server(cluster: RedisCluster) -> None:
    """The operator is told how to name a cluster: at the start, or where one has the key of the layout, in use."""
    for master in cluster.masters:
        store = redis_store(master.url)
        with pytest.raises(StoreUnavailable, match=r"this Redis is part of a cluster: use redis\+cluster://"):
            await used(store)
        await store.close()


async def test_a_cluster_is_opened_by_one_connection(cluster: RedisCluster) -> None:
    """To a member that answers: it says at once whether it takes the login, and where the slots are."""
    with cluster.masters[0].client() as client:
        before = client.info("stats")["total_connections_received"]
        found = shards_at(parse(cluster.url))
        await found.open()
        assert client.info("stats")["total_connections_received"] - before == 1
    await found.close()


async def test_a_member_that_is_away_hides_no_refused_login(tmp_path: Path) -> None:
    """Waiting does not mend it, whichever member says it."""
    server = RedisServer(tmp_path, {"requirepass": "secret"})
    server.start()
    try:
        place = parse(f"redis+cluster://127.0.0.1:{free_port()},{server.address}")
        with pytest.raises(ConfigError, match="refuses the login"):
            await shards_at(place).open()
    finally:
        server.kill()


async def test_a_node_that_only_listens_notices_that_a_master_has_gone(cluster: RedisCluster) -> None:
    """It asks that master for nothing, so that its subscription alone can tell that the slots are elsewhere."""
    near, far = redis_store(cluster.url), redis_store(cluster.url)
    await near.open()
    await far.open()
    await begun(near)
    far.watch("gen_1", lambda: None)
    await eventually(lambda: (held := far.served.get("gen_1")) and held.window)
    assert isinstance(far.shards, ClusterShards)
    before = far.shards._looking
    for master in cluster.masters:
        with master.client() as client:
            client.client_kill_filter(_type="pubsub")
    await eventually(lambda: far.shards._looking is not before)
    await near.close()
    await far.close()
