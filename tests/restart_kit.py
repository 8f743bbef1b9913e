"""A server that is killed and started again at the same place."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tidegate.testing.process import Process, running

SERVE = (sys.executable, "-c", "from tidegate.cli import main; main()", "serve", "--port")


class Restartable:
    """`tidegate serve` with this configuration, in a folder that outlives it."""

    def __init__(self, folder: Path, config: str) -> None:
        (folder / "tidegate.toml").write_text(config)
        self._folder = folder
        self._stack = ExitStack()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: Process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        command = (*SERVE, self._port)
        server = running("--config", "tidegate.toml", command=command, cwd=self._folder)
        self.process = self._stack.enter_context(server)
        assert self.process.ready, self.process.stderr()

    def kill(self) -> None:
        """As the kernel does when memory runs out: no handler runs."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()
        self._stack.close()

    def restart(self) -> None:
        self.kill()
        self.start()
