"""Processes of `tidegate` that are forked from one which has imported everything (`inside/forker.py`)."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

INSIDE = Path(__file__).parent / "inside"

LONGEST = 1 << 16

LINE_BYTES = 1 << 24


class ServerFailed(Exception):
    """The server did not start, or did not leave as it was told to."""


class Fork:
    """A process. `stdout` and `stderr` end with it; `returncode` is None while it runs, or -N after signal N."""

    def __init__(self) -> None:
        self.pid = 0
        self.started = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stdout: asyncio.StreamReader
        self.stderr: asyncio.StreamReader

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    def send_signal(self, which: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, which)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def end(self, code: int) -> None:
        self._ended.set_result(code)


class Forker:
    """The process that forks. It lives as long as ours; the loop is that of the run."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        # A message of its own shows where it cannot be started.
        self._process = subprocess.Popen(
            [sys.executable, str(INSIDE / "forker.py"), str(other.fileno())],
            stdin=subprocess.DEVNULL,
            env={**environ, "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=[other.fileno()],
        )
        other.close()
        self._numbers = count()
        self._wanted: dict[int, Fork] = {}
        self._forks: dict[int, Fork] = {}
        atexit.register(self._close)

    async def fork(self, arguments: Sequence[str], folder: Path, clock: Path) -> Fork:
        """Runs `tidegate` with these arguments in the folder, with a clock that is off by what the file says.

        Raises `ServerFailed` where nothing can be forked.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._hear)
        number, fork = next(self._numbers), Fork()
        self._wanted[number] = fork
        ends = [os.pipe(), os.pipe()]
        fork.stdout, fork.stderr = [await _reader(end) for end, _ in ends]
        wanted = {"number": number, "arguments": arguments, "folder": str(folder), "clock": str(clock)}
        try:
            socket.send_fds(self._socket, [json.dumps(wanted).encode()], [end for _, end in ends])
        except OSError as error:
            raise ServerFailed(f"nothing can be forked: {error}") from error
        finally:
            for _, end in ends:
                os.close(end)
        await fork.started
        return fork

    def _hear(self) -> None:
        try:
            message = self._socket.recv(LONGEST)
        except BlockingIOError:
            return
        except ConnectionResetError:
            message = b""
        if message:
            self._take(json.loads(message))
        else:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._fail()

    def _take(self, told: dict[str, Any]) -> None:
        if "number" in told:
            fork = self._wanted.pop(told["number"])
            fork.pid = told["pid"]
            self._forks[fork.pid] = fork
            fork.started.set_result(None)
        elif (fork := self._forks.pop(told["pid"], None)) is not None:
            fork.end(told["code"])

    def _fail(self) -> None:
        """Our process of this name has ended, and so have its forks."""
        wanted, self._wanted = self._wanted, {}
        for fork in wanted.values():
            fork.started.set_exception(ServerFailed("what forks has ended"))
        forks, self._forks = self._forks, {}
        for fork in forks.values():
            fork.end(-signal.SIGKILL)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def forker() -> Forker:
    """The only one of this process."""
    return Forker()


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    return reader
