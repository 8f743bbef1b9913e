"""`tidegate serve` as a process of its own, for tests that end it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TIDEGATE = (sys.executable, "-c", "from tidegate.cli import main; main()")
"""The command line, run by the interpreter that runs the tests."""

DEADLINE_SECONDS = 30.0


class Process:
    """A running server. `ready` is the line it printed, empty if it ended before."""

    def __init__(self, popen: subprocess.Popen[bytes], errors: Path) -> None:
        self._popen = popen
        self._errors = errors
        self.pid = popen.pid
        self.ready = self.line()

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        return self.ready.split()[3].rstrip("/")

    def line(self, *, within: float = DEADLINE_SECONDS) -> str:
        """The next line of the server's stdout, without its line end; empty at the end. Raises `TimeoutError`."""
        line = b""
        deadline = time.monotonic() + within
        stdout = self._popen.stdout
        assert stdout is not None
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while not line.endswith(b"\n"):
            if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no line within {within} s; stderr: {self.stderr()}")
            byte = os.read(stdout.fileno(), 1)
            if not byte:
                break
            line += byte
        return line.decode().rstrip("\n")

    def stderr(self) -> str:
        """What the server has written to stderr so far."""
        return self._errors.read_text()

    def signal(self, which: signal.Signals = signal.SIGTERM) -> None:
        self._popen.send_signal(which)

    def wait(self, *, within: float = DEADLINE_SECONDS) -> int:
        """Waits for the server's exit code. Raises `subprocess.TimeoutExpired`."""
        return self._popen.wait(within)


@contextmanager
def running(
    *arguments: str,
    command: Sequence[str] = (*TIDEGATE, "serve", "--port", "0"),
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Generator[Process]:
    """Starts `tidegate serve` on a free port, and waits until it is ready; at the end kills it if need be.

    The server has a state directory of its own, unless `environ` names another.

    with running("--config", "replay.toml") as server:
        get(server.url + "/healthz")
    """
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder) / "stderr"
        with errors.open("wb") as stderr:
            popen = subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "XDG_STATE_HOME": folder, **(environ or {})},
                cwd=cwd,
            )
        with popen:
            try:
                yield Process(popen, errors)
            finally:
                if popen.poll() is None:
                    popen.kill()
