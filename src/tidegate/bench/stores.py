"""What it costs to store streams: the same live streams with each store."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec

from tidegate.bench import product
from tidegate.bench.fanout import lasting
from tidegate.bench.measure import steady
from tidegate.bench.options import Bench
from tidegate.bench.report import Table
from tidegate.stores.sqlite import journal

STORES = {
    "memory": product.MEMORY,
    "sqlite, normal": 'url = "sqlite:///{file}"\nsynchronous = "normal"',
    "sqlite, full": 'url = "sqlite:///{file}"\nsynchronous = "full"',
}


def stores(bench: Bench) -> Table:
    """Many live streams with a reader each, in memory and in a file: delay, CPU per token, bytes on disk."""
    options = bench.options
    title = f"Stores: {options.readers} live streams at {options.rate:g} tokens/s"
    columns = {"us/token": 2, "p50 ms": 2, "p99 ms": 2, "KB/1,000 tokens": 1, "CPU %": 1, "tokens/s": 0}
    table = Table(title, columns)
    for _ in range(options.rounds):
        for name, store in STORES.items():
            with tempfile.TemporaryDirectory() as folder:
                table.add(name, _one(bench, store, Path(folder) / "logs.db"))
    return table


def _one(bench: Bench, store: str, file: Path) -> dict[str, float]:
    asked = {"model": "ticks", "prompt": msgspec.json.encode(lasting(bench.options)).decode(), "stream": True}
    with product.serving(product.TICKS, store=store.format(file=file)) as server:
        found = steady(bench, replace(server, request=product.post("/v1/streams", asked)))
    return {**found, **(on_disk(file) if file.exists() else {})}


def on_disk(file: Path) -> dict[str, float]:
    """The size of the file, SQLite's log written back, per thousand events.

    A server that was killed has left streams without an end, whose events are counted once they are compacted.
    """
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = file.stat().st_size
        journal.compact(database)
        batches = "SELECT max(last) AS tail FROM batches GROUP BY stream"
        (events,) = database.execute(f"SELECT sum(tail) FROM ({batches})").fetchone()
    return {"KB/1,000 tokens": size / 1024 / events * 1000}
