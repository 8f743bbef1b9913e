"""What ended streams cost in memory: a server is filled with them, and its size is looked at before and after."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tidegate.bench import product
from tidegate.bench.model import Words
from tidegate.bench.options import Bench
from tidegate.bench.processes import Server, resident_bytes
from tidegate.bench.report import Table
from tidegate.errors import TidegateError

TOKENS = 2000
"""Of each stream: a long answer."""

WAVE = 50
"""Streams that are filled at the same time, so that what is live is little beside what is kept."""

MODELS = """
[[models]]
name = "words"
provider = "python"
target = "tidegate.bench.model:words"
"""

MUCH = 1 << 40
"""Bytes; more than is ever kept, so that nothing has to make room."""

STORE = f"{product.MEMORY}\nmax_bytes = {MUCH}"
LIMITS = f"{product.NO_LIMITS}max_stored_bytes_per_principal = {MUCH}\n"

PATIENCE = 60.0
LOOK_SECONDS = 0.02


def kept(bench: Bench) -> Table:
    """Ended streams in the memory store: the process's resident memory, and bytes per token that is kept."""
    streams = bench.options.readers
    title = f"Kept: {streams:,} ended streams of {TOKENS:,} tokens, {streams * TOKENS / 1e6:g} million in all"
    table = Table(title, {"resident MB": 1, "MB when empty": 1, "bytes/token": 1, "filled s": 1})
    for _ in range(bench.options.rounds):
        with product.serving(MODELS, store=STORE, limits=LIMITS) as server:
            table.add("tidegate, memory", _one(bench, server))
    return table


def _one(bench: Bench, server: Server) -> dict[str, float]:
    empty, began = resident_bytes(server.pid), time.monotonic()
    streams = _fill(server, bench.options.readers)
    filled = time.monotonic() - began
    time.sleep(bench.options.warmup)
    full = resident_bytes(server.pid)
    # What would have made room for others is the first of them.
    for stream in (streams[0], streams[-1]):
        _check(server, stream)
    each = (full - empty) / (len(streams) * TOKENS)
    return {"resident MB": full / 1e6, "MB when empty": empty / 1e6, "bytes/token": each, "filled s": filled}


def _fill(server: Server, count: int) -> Sequence[str]:
    streams: list[str] = []
    while len(streams) < count:
        seeds = range(len(streams), min(count, len(streams) + WAVE))
        streams += [product.begin(server, Words(tokens=TOKENS, seed=seed), model="words") for seed in seeds]
        _wait_ended(server)
    return streams


def _wait_ended(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(_some(server, status) for status in ("queued", "running")):
        if time.monotonic() > deadline:
            raise TidegateError(f"streams of {TOKENS} tokens have not ended within {PATIENCE:.0f} s")
        time.sleep(LOOK_SECONDS)


def _some(server: Server, status: str) -> Sequence[object]:
    return product.ask(server, f"/v1/streams?limit=1&status={status}")["data"]


def _check(server: Server, stream: str) -> None:
    """Raises `TidegateError` unless the stream is there as a whole."""
    snapshot = product.ask(server, f"/v1/streams/{stream}")
    tokens = len(snapshot["text"].split())
    if snapshot["status"] != "completed" or tokens != TOKENS:
        raise TidegateError(f"a stream is {snapshot['status']} with {tokens} tokens of {TOKENS}")
