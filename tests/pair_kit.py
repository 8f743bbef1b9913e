"""Two `tidegate serve` processes on one Redis, each of which can be killed and started again at its port."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from port_kit import free_port
from redis_kit import RedisServer

from tidegate.testing.process import TIDEGATE, Process, running

KEY = "the-key-of-these-tests"
HEARTBEAT_SECONDS = 1
LEASE_SECONDS = 60
BURST = 150

CONFIG = """
[server]
public_url = "{public_url}"
drain_seconds = 5
[store]
url = "{store}"
lease_seconds = {lease}
[delivery]
heartbeat_seconds = {heartbeat}
[limits]
requests_per_minute = 600
burst = {burst}
[[auth.keys]]
name = "me"
sha256 = "{sha256}"
scopes = ["generate", "read", "cancel", "publish", "subscribe", "metrics", "admin"]
[[models]]
name = "told"
provider = "python"
target = "told:answer"
"""

MODULE = """
import asyncio
from itertools import count
from pathlib import Path


async def answer(request):
    for number in count():
        told = Path(request.prompt, str(number))
        while not told.exists():
            await asyncio.sleep(0.005)
        if not (text := told.read_text()):
            return
        yield text
"""


class Told:
    """What the model `told` says to the prompt that is this folder: each text that it is told, when it is told."""

    def __init__(self, folder: Path) -> None:
        self.prompt = str(folder)
        self._folder = folder
        self._said = 0

    def say(self, text: str) -> None:
        """The next piece of the answer; an empty one ends it."""
        draft = self._folder / "draft"
        draft.write_text(text)
        draft.rename(self._folder / str(self._said))
        self._said += 1


class Node:
    """One of the two; `address` is HOST:PORT."""

    def __init__(self, folder: Path, config: str) -> None:
        folder.mkdir()
        (folder / "tidegate.toml").write_text(config)
        (folder / "told.py").write_text(MODULE)
        self._folder = folder
        self._port = free_port()
        self._stack = ExitStack()
        self.address = f"127.0.0.1:{self._port}"
        self.url = f"http://{self.address}"
        self.process: Process

    def start(self) -> None:
        command = (*TIDEGATE, "serve", "--port", str(self._port), "--config", "tidegate.toml")
        self.process = self._stack.enter_context(running(command=command, cwd=self._folder))
        assert self.process.ready, self.process.stderr()

    def kill(self) -> None:
        self.process.signal(signal.SIGKILL)
        self.process.wait()
        self._stack.close()

    def log(self) -> list[dict[str, Any]]:
        """The records that it has logged since its start."""
        return [json.loads(line) for line in self.process.stderr().splitlines()]

    def close(self) -> None:
        sys.stderr.write(self.process.stderr())
        self._stack.close()


class Pair(NamedTuple):
    near: Node
    far: Node

    @property
    def addresses(self) -> list[str]:
        return [node.address for node in self]


@contextmanager
def pair(folder: Path, public_url: str) -> Iterator[Pair]:
    """Both nodes, started side by side."""
    redis = RedisServer(folder / "redis")
    redis.start()
    config = CONFIG.format(
        public_url=public_url,
        store=redis.url,
        lease=LEASE_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        burst=BURST,
        sha256=hashlib.sha256(KEY.encode()).hexdigest(),
    )
    found = Pair(*(Node(folder / name, config) for name in ("near", "far")))
    try:
        with ThreadPoolExecutor(2) as starting:
            list(starting.map(Node.start, found))
        yield found
    finally:
        for node in found:
            node.close()
        redis.kill()
