"""How soon a server with only a `replay` model is ready, and how much memory it has then."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tidegate.bench import product
from tidegate.bench.options import Bench
from tidegate.bench.processes import listening, memory_bytes, resident_bytes, server_cpu
from tidegate.bench.report import Table

CONFIG = """
[store]
{store}
[observability]
log_level = "error"
[[models]]
name = "replay"
provider = "replay"
"""

STORES = {"SQLite": product.SQLITE, "memory": product.MEMORY}


def start(bench: Bench) -> Table:
    """Seconds from exec to the ready line on stdout, and memory at that moment.

    The first start, which compiles the modules as pip does when it installs them, is not counted.
    """
    table = Table("Start", {"ready s": 3, "resident MB": 1, "proportional MB": 1})
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(1 + bench.options.rounds):
            for name, store in STORES.items():
                config = Path(folder) / f"{name}.toml"
                config.write_text(CONFIG.format(store=store))
                found = _once(config)
                if turn:
                    table.add(f"tidegate serve, {name}", found)
    return table


def _once(config: Path) -> dict[str, float]:
    # Whatever the environment of the bench says of compiled modules.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(config.parent / "compiled")}
    began = time.perf_counter()
    with listening([*product.COMMAND, "--config", config], server_cpu(), cwd=config.parent, environ=compiled) as server:
        ready = time.perf_counter() - began
        resident, proportional = resident_bytes(server.pid), memory_bytes(server.pid)
    return {"ready s": ready, "resident MB": resident / 1e6, "proportional MB": proportional / 1e6}
