"""Many readers that come back at the same moment, or stop reading: the effect on the server and on other readers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from tidegate.bench.fanout import one_stream
from tidegate.bench.load import Counts, Load, reading
from tidegate.bench.measure import delays, in_turn
from tidegate.bench.model import Pace
from tidegate.bench.options import Bench
from tidegate.bench.processes import Server, cpu_seconds, memory_bytes, peak_bytes
from tidegate.bench.report import Table
from tidegate.errors import TidegateError

KEPT = 2000
"""Tokens that each reader of the storm has to receive before it is live."""

PATIENCE = 120.0
LOOK_EVERY = 0.1
STALLED_SHARE = 10
"""One reader in so many stops reading."""

SMALL_BUFFER = 4096
"""The receive buffer of a socket, in bytes; with the default, the kernel alone would hold what a stalled reader leaves.
"""


def resume_storm(bench: Bench) -> Table:
    """Readers dial at the same moment and read a live answer from its beginning: time until they are live, memory."""
    options = bench.options
    title = f"Resume storm: {options.readers:,} readers come back to a {KEPT:,}-token answer"
    columns = {"all live s": 2, "p50 ms": 0, "p99 ms": 0, "max ms": 0, "CPU s": 2, "peak MB": 1, "KB/reader": 1}
    lasting = int(options.rate * (PATIENCE + 60))
    pace = Pace(tokens=KEPT + lasting, rate=options.rate, size=options.size, first=KEPT)
    contenders = {"tidegate": partial(one_stream, pace)}
    return in_turn(Table(title, columns), contenders, options.rounds, partial(_storm, bench))


def _storm(bench: Bench, server: Server) -> dict[str, float]:
    readers = bench.options.readers
    time.sleep(bench.options.warmup)
    before, used = memory_bytes(server.pid), cpu_seconds(server.pid)
    with reading(bench.programs.load(), server, readers, at_once=readers) as load:
        load.dial()
        counts = _once(load, lambda counts: counts.live == readers)
        used = cpu_seconds(server.pid) - used
        held = memory_bytes(server.pid) - before
    if counts.tokens_min < KEPT:
        raise TidegateError(f"a reader was live after {counts.tokens_min} tokens, without what came before")
    live = counts.to_live_ms
    times = {"all live s": live.max / 1000, "p50 ms": live.p50, "p99 ms": live.p99, "max ms": live.max}
    sizes = {"peak MB": (peak_bytes(server.pid) - before) / 1e6, "KB/reader": held / readers / 1024}
    return {**times, **sizes, "CPU s": used}


def slow_readers(bench: Bench) -> Table:
    """One reader in ten stops reading and goes on later: the delay of the others, memory, and that nothing is lost."""
    options = bench.options
    title = f"Slow readers: {options.readers // STALLED_SHARE} of {options.readers:,} stop reading"
    columns = {"p50 ms": 2, "p99 ms": 2, "max ms": 2, "MB": 1, "us/token": 2}
    table = Table(title, columns, ["The delay is that of the readers that go on reading."])
    lasting = options.warmup + 3 * options.seconds + 5
    pace = Pace(tokens=int(options.rate * lasting), rate=options.rate, size=options.size)
    for _ in range(options.rounds):
        with one_stream(pace) as server:
            for phase, values in _phases(bench, server, pace.tokens).items():
                table.add(phase, values)
    table.notes.append(f"Every reader had each of its {pace.tokens:,} tokens once.")
    return table


def _phases(bench: Bench, server: Server, tokens: int) -> Mapping[str, Mapping[str, float]]:
    options = bench.options
    count = options.readers // STALLED_SHARE
    found: dict[str, Mapping[str, float]] = {}
    with reading(bench.programs.load(), server, options.readers, receive_buffer=SMALL_BUFFER) as load:
        load.dial()
        time.sleep(options.warmup)
        found["all read"] = _phase(load, server, options.seconds)
        load.stall(count)
        found[f"{count} do not read"] = _phase(load, server, options.seconds)
        load.resume()
        found["all read again"] = _phase(load, server, options.seconds)
        counts = _once(load, lambda counts: counts.tokens_min >= tokens)
    if counts.tokens_max != tokens:
        raise TidegateError(f"a reader had {counts.tokens_max} tokens of {tokens}")
    return found


def _phase(load: Load, server: Server, seconds: float) -> dict[str, float]:
    load.reset()
    began = cpu_seconds(server.pid)
    time.sleep(seconds)
    used = cpu_seconds(server.pid) - began
    counts = load.report()
    return {**delays(counts), "MB": memory_bytes(server.pid) / 1e6, "us/token": used / max(counts.tokens, 1) * 1e6}


def _once(load: Load, reached: Callable[[Counts], bool]) -> Counts:
    deadline = time.monotonic() + PATIENCE
    while not reached(counts := load.report()):
        if time.monotonic() > deadline:
            raise TidegateError(
                f"after {PATIENCE:.0f} s {counts.live} readers are live, and one has {counts.tokens_min} tokens"
            )
        time.sleep(LOOK_EVERY)
    return counts
