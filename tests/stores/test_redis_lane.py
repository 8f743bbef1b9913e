from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
import uvloop
from chaos.proxy import Line
from eventually_kit import eventually
from redis_kit import RedisServer
from redis_store_kit import redis_store

from tidegate.errors import StoreUnavailable
from tidegate.stores.redis.link import lane as lane_module
from tidegate.stores.redis.link.connecting import Opened
from tidegate.stores.redis.link.lane import UNDER_WAY, Lane
from tidegate.stores.redis.link.one_shard import OneShard
from tidegate.stores.redis.url import parse


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_was_reset_while_nothing_was_said_is_replaced(
    redis_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Whatever the loop calls that, the next command reaches Redis, and so do those after it."""

    async def ask_over_a_reset() -> None:
        line = Line(lambda: parse(redis_url).hosts[0][1])
        await line.open()
        store = redis_store(f"redis://127.0.0.1:{line.port}/0")
        await store.open()
        lane = store.shards._shard.writes  # type: ignore[attr-defined]
        assert line.cut()
        await eventually(lambda: lane._connection._writer.is_closing())
        for _ in range(2):
            async with asyncio.timeout(2):
                assert await store.shards.ask("", ("PING",), within=2.0) == b"PONG"
        await store.close()
        await line.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask_over_a_reset())


@pytest.mark.anyio
async def test_what_nobody_waits_for_any_more_is_not_sent(redis_url: str, redis_server: RedisServer) -> None:
    """A caller that was told to come back may have done so: what it asked for first must not be done then, too."""
    store = redis_store(redis_url)
    await store.open()
    shards = store.shards
    assert isinstance(shards, OneShard)
    connects, may_connect = asyncio.Event(), asyncio.Event()

    async def find() -> tuple[str, int]:
        connects.set()
        await may_connect.wait()
        return parse(redis_url).hosts[0]

    shards._find = find
    with redis_server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
        shards.tell("", ("SET", "told", "1"))
        await asyncio.wait_for(connects.wait(), 2)
        with pytest.raises(StoreUnavailable):
            await shards.ask("", ("SET", "refused", "1"), within=0.05)
        may_connect.set()
        await eventually(lambda: client.get("told") == "1")
        await shards.ask("", ("PING",), within=2.0)
        assert client.get("refused") is None
    await store.close()


@pytest.mark.anyio
async def test_each_caller_has_its_own_answer_though_two_batches_are_under_way(redis_url: str) -> None:
    """Whatever is asked in which turn, over a line that breaks in between: no caller gets the answer of another."""
    line = Line(lambda: parse(redis_url).hosts[0][1])
    await line.open()
    store = redis_store(f"redis://127.0.0.1:{line.port}/0")
    await store.open()
    chance = random.Random(5)
    most = answered = 0
    cuts = chance.sample(range(2000), 5)

    async def ask(number: int) -> None:
        nonlocal most, answered
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        for nth in range(50):
            word = f"{number}.{nth}".encode() * chance.choice((1, 1, 5000))
            assert await store.shards.ask("", ("ECHO", word), within=10.0) == word
            most = max(most, len(store.shards._shard.writes._under_way))  # type: ignore[attr-defined]
            answered += 1
            if answered in cuts:
                line.cut()

    async with asyncio.timeout(20), asyncio.TaskGroup() as asking:
        for number in range(50):
            asking.create_task(ask(number))
    assert most == UNDER_WAY
    await store.close()
    await line.close()


@pytest.mark.anyio
async def test_a_lane_leaves_its_server_however_much_it_is_asked(redis_url: str) -> None:
    """A master that was replaced answers reads for ever, with what it had: no load may keep readers there."""
    store = redis_store(redis_url)
    await store.open()
    lane = store.shards._shard.writes  # type: ignore[attr-defined]
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            await store.shards.ask("", ("PING",), within=10.0)

    async with asyncio.timeout(20), asyncio.TaskGroup() as asking:
        for _ in range(3000):
            asking.create_task(ask())
        await eventually(lambda: len(lane._under_way) == UNDER_WAY)
        before = lane._connection
        lane.leave()
        await eventually(lambda: lane._connection not in (before, None))
        over.set()
    await store.close()


@pytest.mark.anyio
async def test_a_server_that_reads_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Also where what is sent does not fit into the buffers of the kernel: whoever waits is told in time."""
    monkeypatch.setattr(lane_module, "ANSWER_SECONDS", 0.2)
    line = Line(lambda: parse(redis_url).hosts[0][1])
    await line.open()
    store = redis_store(f"redis://127.0.0.1:{line.port}/0")
    await store.open()
    assert line.stall()
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable):
            await store.shards.ask("", ("ECHO", b"x" * 30_000_000), within=0.5)
    line.mend()
    await store.close()
    await line.close()


@pytest.mark.anyio
async def test_a_lane_that_is_closed_waits_for_no_server_that_does_not_answer() -> None:
    """A process that stops has a few seconds for all that it does, and what opens a connection closes it by itself."""
    opening, is_over = asyncio.Event(), asyncio.Event()

    async def connect() -> Opened:
        opening.set()
        try:
            await asyncio.Event().wait()
        finally:
            await is_over.wait()
        raise OSError("it is not there")

    lane = Lane(connect, OneShard(parse("redis://127.0.0.1:1/0"), connect))  # type: ignore[arg-type]
    asked = lane.ask(("PING",), within=60)
    await opening.wait()
    lane._failures = 1
    task = lane._task
    closing = asyncio.create_task(lane.close())
    assert (await asyncio.wait((closing,), timeout=20))[0]
    with pytest.raises(StoreUnavailable):
        await asked
    is_over.set()
    assert task is not None
    await asyncio.wait((task,))
