"""Streams in Redis beyond the contract of all stores: other nodes' readers, and what Redis forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from eventually_kit import eventually
from redis_kit import DURABLE, RedisServer
from redis_store_kit import begun, events, found, lead_to, redis_store, said

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Started, Usage, json_of
from tidegate.core.log import Page
from tidegate.core.notices import Gap
from tidegate.errors import Fenced, OffsetMismatch, StoreUnavailable, StreamNotFound
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, Share, StreamRecord
from tidegate.stores.redis.link import lane
from tidegate.stores.redis.store import RedisStore
from tidegate.stores.redis.streams import claims
from tidegate.stores.redis.streams.served import READ

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))


@asynccontextmanager
async def nodes(url: str, count: int, **changes: Any) -> AsyncIterator[list[RedisStore]]:
    """So many nodes on one Redis."""
    async with AsyncExitStack() as stack:
        stores: list[RedisStore] = []
        for _ in range(count):
            store = redis_store(url, **changes)
            await store.open()
            stack.push_async_callback(store.close)
            stores.append(store)
        yield stores


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[list[RedisStore]]:
    """Two nodes."""
    async with nodes(redis_url, 2) as stores:
        yield stores


def commands(server: RedisServer) -> int:
    with server.client() as client:
        return client.info("stats")["total_commands_processed"]


async def test_readers_elsewhere_have_what_is_appended(pair: list[RedisStore]) -> None:
    """They are woken, and read it from their own node's memory."""
    near, far = pair
    fence = await begun(near)
    news = asyncio.Event()
    far.watch("gen_1", news.set)
    await asyncio.wait_for(news.wait(), 5)
    page = await found(far)
    assert isinstance(page, Page)
    for number in range(20):
        news.clear()
        await said(near, fence, number + 1, f"w{number}")
        await asyncio.wait_for(news.wait(), 5)
        page = far.read("gen_1", page.after, limit=10, max_bytes=1000)
        assert isinstance(page, Page), "it is there at the wake-up"
        assert [entry.event for entry in page.entries] == [Delta(f"w{number}")]


async def test_many_readers_cost_redis_the_same_as_one(pair: list[RedisStore], redis_server: RedisServer) -> None:
    """A node subscribes once, and what many readers want, it reads once."""
    near, far = pair
    fence = await begun(near)
    await said(near, fence, 1, *(f"w{number}" for number in range(300)))
    news = asyncio.Event()
    unwatch = [far.watch("gen_1", news.set) for _ in range(1000)]
    await asyncio.wait_for(news.wait(), 5)
    before = commands(redis_server)
    pages = await asyncio.gather(*(found(far) for _ in range(1000)))
    assert all(isinstance(page, Page) and len(page.entries) == 301 for page in pages)
    for number in range(301, 311):
        await said(near, fence, number, "more")
    await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 311)
    assert commands(redis_server) - before < 150, "what scripts do counts, too"
    for each in unwatch:
        each()
    assert far.served.get("gen_1") is None


async def test_large_pieces_reach_readers_elsewhere(pair: list[RedisStore]) -> None:
    """What is too large for a message is read, in its order."""
    near, far = pair
    fence = await begun(near)
    news = asyncio.Event()
    far.watch("gen_1", news.set)
    await asyncio.wait_for(news.wait(), 5)
    for number in range(1, 6):
        await said(near, fence, number, str(number) * 20_000)
    await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 6)
    assert (await events(far))[1:] == [Delta(str(number) * 20_000) for number in range(1, 6)]


async def test_who_is_taken_over_is_fenced_and_its_readers_go_on(pair: list[RedisStore]) -> None:
    """Readers at the node that filled the stream have what the other one appends."""
    near, far = pair
    old = await begun(near)
    await said(near, old, 1, "a")
    woken: list[int] = []
    near.watch("gen_1", lambda: woken.append(1))
    new = await far.acquire("gen_1")
    await said(far, new, 2, "b")
    with pytest.raises(Fenced):
        await said(near, old, 2, "late")
    page = await found(near)
    assert isinstance(page, Page)
    await said(far, new, 3, "c")
    await far.append([END], fence=new, expected=4)
    await eventually(lambda: (held := near.served.get("gen_1")) and held.window and held.window.tail == 5)
    assert await events(near, after=page.after) == [Delta("c"), END]
    assert woken


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A server that keeps whatever it acknowledges, and may be harmed."""
    server = RedisServer(tmp_path / "own", DURABLE)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def replica(server: RedisServer, tmp_path: Path) -> Any:
    """A replica of `server`, which a test may promote."""
    replica = RedisServer(tmp_path / "replica", DURABLE)
    replica.start()
    replica.replica_of(server)
    yield replica
    replica.kill()


async def test_a_restart_of_redis_loses_and_doubles_nothing(server: RedisServer) -> None:
    """What is on its way is appended once, when Redis is back; readers on other nodes have it once, too."""
    async with nodes(server.url, 2) as (near, far):
        fence = await begun(near)
        far.watch("gen_1", lambda: None)
        sent = [near.append([Delta(f"w{n}")], fence=fence, expected=n) for n in range(1, 200)]
        server.restart()
        sent += [near.append([Delta(f"w{n}")], fence=fence, expected=n) for n in range(200, 400)]
        assert await asyncio.gather(*sent) == list(range(2, 401))
        wanted = [Started("gen_1", "m", 1.0), *(Delta(f"w{n}") for n in range(1, 400))]
        assert await events(near) == wanted
        await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 400)
        assert await events(far) == wanted


async def test_what_a_promoted_replica_lacks_is_appended_again(server: RedisServer, replica: RedisServer) -> None:
    """The node that fills a stream has its newest events: nobody loses any, or sees one twice."""
    async with nodes(server.url, 2) as (near, far):
        fence = await begun(near)
        far.watch("gen_1", lambda: None)
        await said(near, fence, 1, "a", "b")
        await eventually(lambda: replica_has(replica, "gen_1", 3))
        replica.promote()
        await said(near, fence, 3, "c", "d")
        await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 5)
        position = (await found(far)).after  # type: ignore[union-attr]
        for store in (near, far):
            lead_to(store, replica.url)
        server.kill()
        await said(near, fence, 5, "e")
        await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 6)
        assert await events(far, after=position) == [Delta("e")]
        far.served.clear()
        assert await events(far) == [Started("gen_1", "m", 1.0), *map(Delta, "abcde")]


async def test_an_end_that_a_promoted_replica_lacks_is_written_again(server: RedisServer, replica: RedisServer) -> None:
    """Nobody fills the stream any more, so nobody else would end it: the node that has ended it does, with what was
    lost before."""
    async with nodes(server.url, 1) as (store,):
        fence = await begun(store)
        await said(store, fence, 1, "a")
        await eventually(lambda: replica_has(replica, "gen_1", 2))
        replica.promote()
        await said(store, fence, 2, "b", "c")
        await store.append([END], fence=fence, expected=4)
        lead_to(store, replica.url)
        server.kill()
        # As a node does that renews its lease.
        await store.shards.ask("", ("PING",), within=5.0)
        await eventually(lambda: replica_has(replica, "gen_1", 5))
        assert await events(store) == [Started("gen_1", "m", 1.0), *map(Delta, "abc"), END]


async def test_what_nobody_has_any_more_is_a_gap(server: RedisServer, replica: RedisServer) -> None:
    """A position that a promoted replica never had is not mistaken for another event."""
    async with nodes(server.url, 2) as (near, far):
        fence = await begun(near)
        await said(near, fence, 1, "a", "b")
        await eventually(lambda: replica_has(replica, "gen_1", 3))
        replica.promote()
        far.watch("gen_1", lambda: None)
        await said(near, fence, 3, "lost", "lost")
        await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 5)
        seen = (await found(far)).after  # type: ignore[union-attr]
        await near.close()
        lead_to(far, replica.url)
        server.kill()
        new = await far.acquire("gen_1")
        await said(far, new, 3, "other")
        gap = await found(far, after=seen)
        assert isinstance(gap, Gap)
        assert (await events(far))[-1] == Delta("other")
        page = await found(far, after=gap.to)
        assert isinstance(page, Page)


async def test_news_of_another_epoch_is_read_before_it_is_believed(pair: list[RedisStore]) -> None:
    """It may have begun before what this node has seen, and Redis has lost: its events follow on others than those."""
    near, far = pair
    fence = await begun(near)
    far.watch("gen_1", lambda: None)
    await said(near, fence, 1, "a")
    await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 2)
    position = (await found(far)).after  # type: ignore[union-attr]
    held = far.served.get("gen_1")
    assert held is not None
    held.heard(b"other 2 3\n" + json_of(Delta("not after a")))
    assert await events(far, after=position) == []


@asynccontextmanager
async def holders(*stores: RedisStore) -> AsyncIterator[list[Cluster]]:
    """A node on each of the stores."""
    joined = [store.join(f"node {number}", 5.0) for number, store in enumerate(stores)]
    for node in joined:
        await node.renew()
    yield joined
    for node in joined:
        await node.leave()


async def test_readers_at_a_node_that_no_longer_fills_a_stream_go_on(pair: list[RedisStore]) -> None:
    """They hear what the other node appends, as readers at any node do."""
    near, far = pair
    async with holders(near, far) as (one, other):
        one.hold("gen_1")
        await begun(near)
        near.watch("gen_1", lambda: None)
        other.hold("gen_1")
        await said(far, await far.acquire("gen_1"), 1, "a")
        await eventually(lambda: (held := near.served.get("gen_1")) and held.window and held.window.tail == 2)


async def test_readers_at_a_node_that_came_second_hear_the_one_that_came_last(pair: list[RedisStore]) -> None:
    """Whoever acquires a stream that another node has come to hold meanwhile does not take itself for the one that
    fills it."""
    near, far = pair
    async with holders(near, far) as (one, other):
        one.hold("gen_1")
        await begun(near)
        near.watch("gen_1", lambda: None)
        other.hold("gen_1")
        await eventually(lambda: not one.holds("gen_1"))
        await near.acquire("gen_1")
        await said(far, await far.acquire("gen_1"), 1, "a")
        await eventually(lambda: (held := near.served.get("gen_1")) and held.window and held.window.tail == 2)


async def test_a_creation_that_may_be_repeated_is_not_taken_back(server: RedisServer) -> None:
    """Whoever repeats it with its key may be told of the stream: one that was created after all is an orphan."""
    claim = Claim("key", b"digest")
    async with nodes(server.url, 1, brief_seconds=0.2) as (store,), holders(store) as (node,):
        await begun(store, "gen_1")
        server.pause()
        node.hold("gen_2")
        record = StreamRecord(id="gen_2", owner="anna", model="m", created_at=1.0)
        creating = asyncio.create_task(store.create(record, [Started("gen_2", "m", 1.0)], claim=claim))
        await asyncio.wait((creating,), timeout=0.1)
        server.resume()
        with suppress(StoreUnavailable):
            await creating
        store._settle(record, claim)
        node.let_go("gen_2")
        await eventually(lambda: orphans(server) == {"gen_2"})
        assert await store.claimed(claim) == Claimed("gen_2")


def orphans(server: RedisServer) -> set[str]:
    with server.client() as client:
        return set(client.hkeys("tidegate:{nodes}:orphans"))


def replica_has(replica: RedisServer, stream: str, tail: int) -> bool:
    with replica.client() as client:
        return client.hget(f"tidegate:{{{stream}}}:record", "tail") == str(tail)


async def test_while_redis_is_away_nothing_new_begins(server: RedisServer) -> None:
    """A caller is told to come back soon; what is live waits for as long as it is patient, and then fails."""
    async with nodes(server.url, 1, patience_seconds=0.5, brief_seconds=1) as (store,):
        fence = await begun(store)
        server.kill()
        waiting = store.append([Delta("a")], fence=fence, expected=1)
        with pytest.raises(StoreUnavailable) as caught:
            await begun(store, "gen_2")
        assert caught.value.retry_after
        with pytest.raises(StoreUnavailable):
            await waiting
        await eventually(lambda: store.fault)
        server.start()
        assert await said(store, fence, 1, "b") == 2
        assert store.fault is None
        assert [look.record.id for look in await store.list(owner="anna", status=None, before=None, limit=9)] == [
            "gen_1"
        ]
        await eventually(lambda: charged(server, "anna") == {"gen_1"})


def charged(server: RedisServer, account: str) -> set[str]:
    with server.client() as client:
        return set(client.hkeys(f"tidegate:{{account:{account}}}:charges")) - {"sum", "live"}


async def test_readers_wait_while_redis_is_away(server: RedisServer) -> None:
    """They are answered when it is back, and not told that there is no such stream."""
    async with nodes(server.url, 1) as (store,):
        fence = await begun(store)
        await said(store, fence, 1, "a")
        store.served.clear()
        store.watch("gen_1", lambda: None)
        server.kill()
        reading = store.read("gen_1", None, limit=10, max_bytes=1000)
        assert isinstance(reading, asyncio.Future)
        done, _ = await asyncio.wait((reading,), timeout=0.3)
        assert not done
        server.start()
        page = await asyncio.wait_for(reading, 5)
        assert isinstance(page, Page)
        assert len(page.entries) == 2


async def test_a_mismatch_tells_the_tail(pair: list[RedisStore]) -> None:
    """Nothing is repaired that was never there."""
    near, _ = pair
    fence = await begun(near)
    await said(near, fence, 1, "a")
    for expected in (0, 7):
        with pytest.raises(OffsetMismatch) as caught:
            await said(near, fence, expected, "b")
        assert caught.value.tail == 2


async def test_a_forgotten_stream_leaves_nothing(redis_url: str, redis_server: RedisServer) -> None:
    """Neither its shares, however long they would have been good, nor its key, nor anything of its owner."""
    async with nodes(redis_url, 1) as (store,):
        record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
        claim = Claim("key", b"body")
        fence = await store.create(record, [Started("gen_1", "m", 1.0)], claim=claim)
        assert isinstance(fence, Fence)
        await store.share(Share(b"digest", "gen_1", 1e10))
        await store.append([END], fence=fence, expected=1)
        await store.forget("gen_1")
    with redis_server.client() as client:
        assert client.keys("*") == [store.keys.layout]


async def test_nothing_is_left_for_ever(redis_url: str, redis_server: RedisServer) -> None:
    """Once its time is over Redis itself forgets what no node has forgotten."""
    times = {"retention_seconds": 0.2, "longer_seconds": 0.1, "longest_seconds": 0.4}
    async with nodes(redis_url, 1, **times) as (store,):
        fence = await begun(store)
        await said(store, fence, 1, "a")
        await store.append([END], fence=fence, expected=2)
    with redis_server.client() as client:
        await eventually(lambda: client.keys("*") == [])


async def test_a_full_redis_takes_what_frees_memory(server: RedisServer) -> None:
    """It refuses an append at once, so that what is forgotten does not wait behind it."""
    async with nodes(server.url, 1) as (store,):
        fence = await begun(store)
        await begun(store, "gen_2")
        with server.client() as client:
            client.execute_command("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreUnavailable):
                await store.append([Delta("a")], fence=fence, expected=1)
            await store.forget("gen_2")
            client.execute_command("CONFIG", "SET", "maxmemory", "0")
            assert await said(store, fence, 1, "b") == 2


async def test_while_redis_is_a_replica_appends_wait(server: RedisServer) -> None:
    """Their script is refused then, which Redis 6.2 words as a fault of the script."""
    async with nodes(server.url, 1) as (store,):
        fence = await begun(store)
        with server.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            waiting = store.append([Delta("a")], fence=fence, expected=1)
            await eventually(lambda: store.shards.health.since is not None or waiting.done())
            assert not waiting.done()
            client.execute_command("REPLICAOF", "no", "one")
            assert await asyncio.wait_for(waiting, 5) == 2


async def test_a_redis_without_its_replicas_is_waited_for(server: RedisServer) -> None:
    """`min-replicas-to-write` refuses what would be lost: nothing that is told to Redis is given up for that."""
    async with nodes(server.url, 1) as (store,):
        await store.shards.ask("", ("PING",), within=2.0)
        with server.client() as client:
            client.config_set("min-replicas-to-write", 1)
            store.shards.tell("", ("SET", "told", "1"))
            await eventually(lambda: store.shards.health.since is not None)
            client.config_set("min-replicas-to-write", 0)
            await eventually(lambda: client.get("told") == "1")


async def test_what_is_missed_while_a_stream_is_read_anew_is_read_again(pair: list[RedisStore]) -> None:
    """A subscription that begins anew meanwhile may have missed news: that answer is older, and wakes nobody later."""
    near, far = pair
    fence = await begun(near)
    far.watch("gen_1", lambda: None)
    held = far.served.get("gen_1")
    assert held is not None
    await eventually(lambda: held.window and not held.refreshing)
    late: list[tuple[asyncio.Future[Any], asyncio.Future[Any]]] = []
    read = far.shards.read

    def read_late(*asked: Any, **within: Any) -> asyncio.Future[Any]:
        late.append((asyncio.get_running_loop().create_future(), read(*asked, **within)))
        return late[-1][0]

    far.shards.read = read_late  # type: ignore[method-assign]
    held.listens()
    answer = await late[0][1]
    far.shards.ignore("tidegate:{gen_1}:news")
    await said(near, fence, 1, "missed")
    held.listens()
    far.shards.read = read  # type: ignore[method-assign]
    late[0][0].set_result(answer)
    await eventually(lambda: held.window and held.window.tail == 2)


async def test_what_redis_has_dropped_itself_takes_no_room(pair: list[RedisStore], redis_server: RedisServer) -> None:
    """Its time was over while no node was there to forget it: its owner is charged for it until that is seen."""
    near, _ = pair
    fence = await begun(near)
    await near.append([END], fence=fence, expected=1)
    with redis_server.client() as client:
        size = int(client.hget("tidegate:{account:anna}:charges", "gen_1"))
        client.delete("tidegate:{gen_1}:record", "tidegate:{gen_1}:log")
    async with nodes(redis_server.url, 1, max_stored_bytes_each=size + 9000) as (small,):
        await begun(small, "gen_2")
        assert charged(redis_server, "anna") == {"gen_2"}


async def test_a_large_append_is_read_a_piece_at_a_time(pair: list[RedisStore]) -> None:
    """Redis sends no more than a little beyond what is asked for, however many events came together."""
    near, far = pair
    fence = await begun(near)
    texts = [f"{number}" * 1000 for number in range(300)]
    assert await said(near, fence, 1, *texts) == 301
    keys = [far.keys.record("gen_1"), far.keys.log("gen_1")]
    *_, entries = await far.shards.read(keys[0], READ(keys, 150, 512, 10_000), within=2.0)
    assert sum(map(len, entries[1::2])) < 100_000
    assert (await events(far))[1:] == [Delta(text) for text in texts]
    assert await said(near, fence, 1, *texts) == 301, "repeating it is harmless"


async def test_who_could_not_be_charged_in_time_is_charged_nothing(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may do later what a caller no longer waited for: nothing of a stream that was never created is left."""
    monkeypatch.setattr(lane, "ANSWER_SECONDS", 0.1)
    async with nodes(server.url, 1, brief_seconds=0.1) as (store,):
        await store.shards.ask("", ("PING",), within=1.0)
        server.pause()
        with pytest.raises(StoreUnavailable):
            await begun(store)
        server.resume()
        with server.client() as client:
            await eventually(lambda: "cmdstat_evalsha" in client.info("commandstats"))
        await eventually(lambda: charged(server, "anna") == set())


async def test_a_log_that_redis_has_evicted_is_a_gap(pair: list[RedisStore], redis_server: RedisServer) -> None:
    """A reader is told so, and goes on at the tail that the record tells; it does not ask again and again."""
    near, far = pair
    fence = await begun(near)
    await said(near, fence, 1, "a")
    with redis_server.client() as client:
        client.delete("tidegate:{gen_1}:log")
    for after in (None, Cursor(fence.epoch, 1)):
        gap = await found(far, after=after)
        assert isinstance(gap, Gap)
        assert gap.to == Cursor(fence.epoch, 2)


async def test_what_was_read_before_a_takeover_does_not_undo_it(pair: list[RedisStore]) -> None:
    """Readers at the node that has taken the stream over have all that it appends, however late that answer comes."""
    near, far = pair
    await begun(near)
    far.watch("gen_1", lambda: None)
    held = far.served.get("gen_1")
    assert held is not None
    await eventually(lambda: held.window and not held.refreshing)
    read, late = far.shards.read, asyncio.get_running_loop().create_future()
    asked: list[asyncio.Future[Any]] = []

    def read_late(*command: Any, **within: Any) -> asyncio.Future[Any]:
        asked.append(read(*command, **within))
        return late

    far.shards.read = read_late  # type: ignore[method-assign]
    held.listens()
    far.shards.read = read  # type: ignore[method-assign]
    answer = await asked[0]
    fence = await far.acquire("gen_1")
    await said(far, fence, 1, "a")
    late.set_result(answer)
    await asyncio.sleep(0)
    await said(far, fence, 2, "b")
    assert (await events(far))[1:] == [Delta("a"), Delta("b")]
    assert held.window is not None
    assert held.window.tail == 3


async def test_a_claim_is_void_only_once_its_maker_has_given_up(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow Redis is, a key starts one stream: who comes second waits longer than the first one tries."""
    monkeypatch.setattr(claims, "PENDING_SECONDS", 0.5)
    claim, may_go_on = Claim("key", b"body"), asyncio.Event()

    async def charge(*_: object, **__: object) -> None:
        await may_go_on.wait()

    async with nodes(redis_url, 2, brief_seconds=0.2) as (near, far):
        near.accounts.charge = charge  # type: ignore[method-assign]
        records = [StreamRecord(id=f"gen_{n}", owner="anna", model="m", created_at=1.0) for n in (1, 2)]
        first = asyncio.ensure_future(near.create(records[0], [Started("gen_1", "m", 1.0)], claim=claim))
        key = far.keys.claim("key")
        await eventually(lambda: far.shards.ask(key, ("EXISTS", key), within=1.0))
        assert isinstance(await far.create(records[1], [Started("gen_2", "m", 1.0)], claim=claim), Fence)
        may_go_on.set()
        with pytest.raises(StoreUnavailable):
            await first


async def test_a_master_that_was_replaced_is_not_read_any_more(server: RedisServer, replica: RedisServer) -> None:
    """It may go on answering, as a replica with what it has: where a node writes, it reads and listens, too."""
    async with nodes(server.url, 2) as (near, far):
        fence = await begun(near)
        await near.look("gen_1")
        await far.look("gen_1")
        far.watch("gen_1", lambda: None)
        await eventually(lambda: replica_has(replica, "gen_1", 1))
        replica.promote()
        for store in (near, far):
            lead_to(store, replica.url)
        with server.client() as client:
            client.replicaof("127.0.0.1", 1)
            client.execute_command("CONFIG SET replica-serve-stale-data yes")
        assert await said(near, fence, 1, "a") == 2
        await far.share(Share(b"digest", "gen_1", 1e10))
        for store in (near, far):
            assert (await store.look("gen_1")).tail.offset == 2
        await eventually(lambda: (held := far.served.get("gen_1")) and held.window and held.window.tail == 2)


async def test_a_redis_that_is_back_is_asked_for_what_is_filled(server: RedisServer, replica: RedisServer) -> None:
    """A stream of which a promoted replica lacks something is whole again, though nothing more is said in it; one that
    it does not know at all is nobody's to fill, and its readers are told so."""
    async with nodes(server.url, 1) as (store,):
        node = store.join("near", 5.0)
        node.hold("gen_1")
        fence = await begun(store)
        await eventually(lambda: replica_has(replica, "gen_1", 1))
        replica.promote()
        await said(store, fence, 1, "a", "b")
        node.hold("gen_2")
        await begun(store, "gen_2")
        news = asyncio.Event()
        store.watch("gen_2", news.set)
        lead_to(store, replica.url)
        server.kill()
        await store.shards.ask("", ("PING",), within=5.0)
        await eventually(lambda: replica_has(replica, "gen_1", 3))

        async def is_lost() -> bool:
            return "gen_2" in await node.renew()

        await eventually(is_lost)
        await asyncio.wait_for(news.wait(), 5)
        with pytest.raises(StreamNotFound):
            await events(store, "gen_2")
        await node.leave()


async def test_a_replica_knows_of_no_loss(server: RedisServer) -> None:
    """It may be empty, since it is being filled: only a master says that a stream is gone."""
    async with nodes(server.url, 1) as (store,):
        fence = await begun(store)
        with server.client() as client:
            kept = client.dump("tidegate:{gen_1}:record")
            client.delete("tidegate:{gen_1}:record")
            client.replicaof("127.0.0.1", 1)
            waiting = store.append([Delta("a")], fence=fence, expected=1)
            await eventually(lambda: store.shards.health.since is not None)
            assert not waiting.done()
            client.replicaof("no", "one")
            client.restore("tidegate:{gen_1}:record", 0, kept)
        assert await asyncio.wait_for(waiting, 5) == 2


async def test_a_stream_whose_takeover_and_end_are_lost_is_an_orphan(server: RedisServer, replica: RedisServer) -> None:
    """The node that has ended it cannot end it again, since Redis does not know its right any more: another one can."""
    async with nodes(server.url, 2) as (near, far):
        await begun(near)
        await eventually(lambda: replica_has(replica, "gen_1", 1))
        replica.promote()
        node = far.join("far", 5.0)
        node.hold("gen_1")
        fence = await far.acquire("gen_1")
        await far.append([END], fence=fence, expected=1)
        node.let_go("gen_1")
        lead_to(far, replica.url)
        server.kill()
        await far.shards.ask("", ("PING",), within=5.0)
        with replica.client() as client:
            await eventually(lambda: client.hexists("tidegate:{nodes}:orphans", "gen_1"))
        await node.leave()
