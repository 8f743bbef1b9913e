"""The scenarios by name, each with the size at which its figures are published."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.bench.aims import AIMS, judged
from tidegate.bench.compression import compression
from tidegate.bench.fanout import connections, fanout
from tidegate.bench.gate import gate
from tidegate.bench.kept import kept
from tidegate.bench.nodes import far_readers, nodes
from tidegate.bench.options import Bench, Options
from tidegate.bench.page import page
from tidegate.bench.programs import Programs
from tidegate.bench.relay import batching, relay
from tidegate.bench.report import Table
from tidegate.bench.sockets import sockets
from tidegate.bench.start import start
from tidegate.bench.stores import stores
from tidegate.bench.storm import resume_storm, slow_readers
from tidegate.bench.telemetry import telemetry


@dataclass(frozen=True)
class Scenario:
    """The function that is run, its default options, and the column that its chart shows."""

    run: Callable[[Bench], Table]
    options: Options
    chart: str

    @property
    def summary(self) -> str:
        """The scenario's line in the list of scenarios."""
        return (self.run.__doc__ or "").splitlines()[0]


SCENARIOS: Mapping[str, Scenario] = {
    "fanout": Scenario(fanout, Options(readers=1000, rate=20, seconds=10, rounds=5), "us/token"),
    "relay": Scenario(relay, Options(readers=300, rate=20, seconds=10, rounds=5), "us/token"),
    "telemetry": Scenario(telemetry, Options(readers=300, rate=20, seconds=5, rounds=5), "us/token"),
    "saturation": Scenario(relay, Options(readers=100, rate=0, seconds=5, rounds=5), "tokens/s/core"),
    "batching": Scenario(batching, Options(readers=200, rate=50, seconds=10, rounds=5), "us/token"),
    "compression": Scenario(compression, Options(readers=300, rate=20, seconds=10, rounds=5), "bytes/token"),
    "gate": Scenario(gate, Options(readers=1000, rate=20, seconds=5, rounds=5), "us/request"),
    "connections": Scenario(connections, Options(readers=10_000, rate=0, seconds=3, rounds=5), "KB/reader"),
    "sockets": Scenario(sockets, Options(readers=5000, rate=4, seconds=10, rounds=5), "us/token"),
    "stores": Scenario(stores, Options(readers=500, rate=20, seconds=10, rounds=5), "us/token"),
    "nodes": Scenario(nodes, Options(readers=300, rate=20, seconds=10, rounds=5), "node us/token"),
    "far-readers": Scenario(far_readers, Options(readers=1000, rate=20, seconds=10, rounds=5), "Redis us/event"),
    "kept": Scenario(kept, Options(readers=2000, rate=0, seconds=0, rounds=5), "bytes/token"),
    "page": Scenario(page, Options(readers=1, rate=150, seconds=20, rounds=5), "main thread s"),
    "start": Scenario(start, Options(readers=0, rate=0, seconds=0, rounds=5), "ready s"),
    "resume-storm": Scenario(resume_storm, Options(readers=5000, rate=1, seconds=0, rounds=5), "p99 ms"),
    "slow-readers": Scenario(slow_readers, Options(readers=1000, rate=20, seconds=10, rounds=5, size=2048), "p99 ms"),
}


def run(name: str, changes: Mapping[str, Any], *, baselines: Path, python: Path) -> Table:
    """Runs a scenario with some of its options changed, and notes which of its aims are met.

    Raises `TidegateError` where it cannot be run.
    """
    scenario = SCENARIOS[name]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(replace(scenario.options, **changes), Programs(Path(folder), baselines, python))
        table = scenario.run(bench)
    table.notes += judged(table, AIMS.get(name, ()), bench.options.readers)
    return table
