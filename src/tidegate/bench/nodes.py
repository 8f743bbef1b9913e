"""Nodes that share a Redis: what a token costs each of them, and Redis."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import msgspec

from tidegate.bench import product
from tidegate.bench.fanout import lasting
from tidegate.bench.load import Counts, Load, reading
from tidegate.bench.options import Bench, Options
from tidegate.bench.processes import Server, cpu_seconds
from tidegate.bench.redis_server import Sample, SharedRedis, redis_server
from tidegate.bench.report import Table

MOST_NODES = 3

NEAR_AND_FAR = "one stream, {readers:,} readers at another node"


@dataclass(frozen=True)
class Round:
    """One measurement: the counts of each node's `readers`, the CPU of the nodes, and two samples of Redis, if there is
    one. All readers of a node have the same stream, or each has its own."""

    counts: Sequence[Counts]
    readers: int
    cpu: float
    samples: tuple[Sample, Sample] | None

    def figures(self) -> dict[str, float]:
        tokens = max(1, sum(each.tokens for each in self.counts))
        found = {
            "node us/token": self.cpu / tokens * 1e6,
            "tokens/s": sum(each.tokens / each.seconds for each in self.counts),
            "p50 ms": sum(each.delay_ms.p50 * each.tokens for each in self.counts) / tokens,
            "p99 ms": max(each.delay_ms.p99 for each in self.counts),
        }
        if self.samples is not None:
            before, after = self.samples
            found["Redis us/token"] = (after.cpu - before.cpu) / tokens * 1e6
            found["scripts/token"] = (after.scripts - before.scripts) / tokens
            found["KB/1,000 tokens"] = (after.data - before.data) / tokens * 1000 / 1024
            found["Redis us/event"] = found["Redis us/token"] * self.readers
        return found


def nodes(bench: Bench) -> Table:
    """Live streams of one to three nodes that share a Redis: CPU per token of the nodes and of Redis, delay, memory."""
    options = bench.options
    title = f"Nodes: {options.readers} live streams at {options.rate:g} tokens/s"
    columns = {
        "node us/token": 1,
        "Redis us/token": 1,
        "scripts/token": 2,
        "p50 ms": 2,
        "p99 ms": 2,
        "KB/1,000 tokens": 1,
        "tokens/s": 0,
    }
    table = Table(title, columns)
    for _ in range(options.rounds):
        with product.serving(product.TICKS) as server:
            table.add("memory, 1 node", _each_its_own(bench, [server], None))
        for count in range(1, MOST_NODES + 1):
            with redis_server() as redis, _sharing(redis, count) as servers:
                table.add(f"Redis, {count} node{'s' * (count > 1)}", _each_its_own(bench, servers, redis))
    return table


def far_readers(bench: Bench) -> Table:
    """One stream with one reader, and with many, at another node than the one that fills it: what it costs Redis."""
    options = bench.options
    title = f"Readers elsewhere: one stream at {options.rate:g} events/s"
    columns = {"Redis us/event": 1, "node us/token": 2, "p50 ms": 2, "p99 ms": 2, "tokens/s": 0}
    table = Table(title, columns)
    for _ in range(options.rounds):
        for readers in (1, options.readers):
            with redis_server() as redis, _sharing(redis, 2) as (near, far):
                stream = product.begin(near, lasting(options))
                server = replace(far, request=product.follow(stream))
                table.add(
                    NEAR_AND_FAR.format(readers=readers), _measured(bench, [server], redis, readers=readers).figures()
                )
    return table


@contextmanager
def _sharing(redis: SharedRedis, count: int) -> Generator[list[Server]]:
    with ExitStack() as stack:
        store = f'url = "{redis.url}"'
        yield [stack.enter_context(product.serving(product.TICKS, store=store)) for _ in range(count)]


def _each_its_own(bench: Bench, servers: Sequence[Server], redis: SharedRedis | None) -> dict[str, float]:
    """Spreads the streams over the nodes; each has one reader, where it was started."""
    asked = {"model": "ticks", "prompt": msgspec.json.encode(lasting(bench.options)).decode(), "stream": True}
    request = product.post("/v1/streams", asked)
    readers = bench.options.readers // len(servers)
    return _measured(bench, [replace(each, request=request) for each in servers], redis, readers=readers).figures()


def _measured(bench: Bench, servers: Sequence[Server], redis: SharedRedis | None, *, readers: int) -> Round:
    options: Options = bench.options
    with ExitStack() as stack:
        loads: list[Load] = []
        for server in servers:
            loads.append(stack.enter_context(reading(bench.programs.load(), server, readers)))
            loads[-1].dial()
        time.sleep(options.warmup)
        before = redis.sample() if redis is not None else None
        for load in loads:
            load.reset()
        began = [cpu_seconds(server.pid) for server in servers]
        time.sleep(options.seconds)
        used = sum(cpu_seconds(server.pid) - since for server, since in zip(servers, began, strict=True))
        counts = [load.report() for load in loads]
        after = redis.sample() if redis is not None else None
    return Round(counts, readers, used, (before, after) if before is not None and after is not None else None)
