"""Measures one round of one contender, and rounds of all contenders in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from tidegate.bench.load import Counts, Load, reading
from tidegate.bench.options import Bench, Options
from tidegate.bench.processes import Server, cpu_seconds, memory_bytes
from tidegate.bench.report import Table

Contender = Callable[[], AbstractContextManager[Server]]


def in_turn(
    table: Table, contenders: Mapping[str, Contender], rounds: int, one: Callable[[Server], Mapping[str, float]]
) -> Table:
    """Measures A, B, C, A, B, C, so that other load of the machine affects all alike. Each starts anew every time."""
    for _ in range(rounds):
        for name, contender in contenders.items():
            with contender() as server:
                table.add(name, one(server))
    return table


def steady(bench: Bench, server: Server, *, again: bool = False) -> dict[str, float]:
    """Measures readers at work: CPU per token delivered, the tokens' delay, memory per reader."""
    options = bench.options
    return at_work(options, server, reading(bench.programs.load(), server, options.readers, again=again))[1]


def at_work(
    options: Options, server: Server, connections: AbstractContextManager[Load]
) -> tuple[Counts, dict[str, float]]:
    """Measures as `steady` does, with these connections; returns their counts, too."""
    with connections as load:
        before = memory_bytes(server.pid)
        load.dial()
        return under_way(options, server, load, before)


def under_way(options: Options, server: Server, load: Load, before: int) -> tuple[Counts, dict[str, float]]:
    """Measures as `at_work` does, with open connections; `before` is the server's memory without them, in bytes."""
    time.sleep(options.warmup)
    load.reset()
    began = cpu_seconds(server.pid)
    time.sleep(options.seconds)
    used = cpu_seconds(server.pid) - began
    counts = load.report()
    held = memory_bytes(server.pid) - before
    return counts, {**per_token(counts, used), **delays(counts), "KB/reader": held / options.readers / 1024}


def per_token(counts: Counts, used: float) -> dict[str, float]:
    """CPU per token in microseconds, tokens per second, and the share of the CPU that was used, in percent."""
    return {
        "us/token": used / max(counts.tokens, 1) * 1e6,
        "tokens/s": counts.tokens / counts.seconds,
        "tokens/s/core": counts.tokens / used if used else 0.0,
        "tokens/event": counts.tokens / max(counts.events, 1),
        "CPU %": used / counts.seconds * 100,
    }


def delays(counts: Counts) -> dict[str, float]:
    """The delays from the making of a token to its arrival, in milliseconds."""
    delay = counts.delay_ms
    return {"mean ms": delay.mean, "p50 ms": delay.p50, "p99 ms": delay.p99, "max ms": delay.max}
