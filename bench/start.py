"""How soon a server with only a `replay` model is ready, and what it holds in memory: `python bench/start.py`.

Seconds from exec to the ready line on stdout, and resident KiB (VmRSS) at that moment; Linux only.
"""

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
CONFIG = '[server]\nport = 0\n[[models]]\nname = "replay"\nprovider = "replay"\n'


def start_once(command: list[str | Path]) -> tuple[float, int]:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        server.stdout.readline()
        seconds = time.perf_counter() - began
        status = Path(f"/proc/{server.pid}/status").read_text()
        server.send_signal(signal.SIGTERM)
    return seconds, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def main() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(CONFIG)
        config.flush()
        command = [Path(sys.executable).with_name("tidegate"), "serve", "--config", config.name]
        start_once(command)
        rounds = [start_once(command) for _ in range(ROUNDS)]
    for name, values in (("ready, s", [r[0] for r in rounds]), ("resident, MiB", [r[1] / 1024 for r in rounds])):
        low, middle, high = min(values), statistics.median(values), max(values)
        sys.stdout.write(f"{name:15} min {low:.3f}  median {middle:.3f}  max {high:.3f}\n")


if __name__ == "__main__":
    main()
