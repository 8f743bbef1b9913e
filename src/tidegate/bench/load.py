"""The load generator's other end: what Python says to the process that reads (`load.c`)."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidegate.bench.processes import Server, load_cpu
from tidegate.errors import TidegateError

READY_SECONDS = 120.0


class Spread(msgspec.Struct, frozen=True):
    """What a set of times was like, in milliseconds; percentiles are right within 3 %."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float


class Counts(msgspec.Struct, frozen=True):
    """What all connections together have had since the last reset; `tokens_min` and `_max` are of one, from its start.

    A connection is live when it has had a token that was made after it had dialled.
    """

    seconds: float
    tokens: int
    events: int
    reads: int
    bytes: int
    ends: int
    closed: int
    failed: int
    connected: int
    live: int
    tokens_min: int
    tokens_max: int
    delay_ms: Spread
    delay_stalled_ms: Spread
    to_live_ms: Spread


class Load:
    """Connections that read. Commands are answered in order."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def wait_ready(self) -> None:
        """Returns when every connection has had the first bytes of its answer. Raises `TidegateError`."""
        if self._line() != "ready":
            raise TidegateError("the load generator did not get its connections")

    def reset(self) -> None:
        """Counts from here."""
        self._say("reset")

    def report(self) -> Counts:
        """What there was since. Raises `TidegateError` where a connection was refused or broke."""
        self._say("report")
        while (line := self._line()) == "ready":
            pass
        counts = msgspec.json.decode(line, type=Counts)
        if counts.failed:
            raise TidegateError(f"{counts.failed} of the connections had no answer with status 200")
        return counts

    def stall(self, count: int) -> None:
        """The first so many connections are not read any more."""
        self._say(f"stall {count}")

    def resume(self) -> None:
        """They are read again."""
        self._say("resume")

    def _say(self, command: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{command}\n".encode())
        self._popen.stdin.flush()

    def _line(self) -> str:
        stdout = self._popen.stdout
        assert stdout is not None
        deadline = time.monotonic() + READY_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TidegateError(f"the load generator said nothing for {READY_SECONDS:.0f} s")
            piece = os.read(stdout.fileno(), 65536)
            if not piece:
                raise TidegateError("the load generator has ended")
            line += piece
        return line.decode().strip().rpartition("\n")[2]


@contextmanager
def reading(
    program: Path,
    server: Server,
    connections: int,
    *,
    at_once: int = 100,
    again: bool = False,
    receive_buffer: int = 0,
) -> Generator[Load]:
    """Connections that send the server's request and read, `at_once` waiting for an answer at a time.

    `again`: an answer that has ended is asked for again. `receive_buffer`: of each socket, in bytes; 0 is the system's.
    """
    numbers = (server.port, connections, at_once, int(again), receive_buffer)
    command = ["taskset", "--cpu-list", str(load_cpu()), str(program), *map(str, numbers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1) as popen:
        try:
            assert popen.stdin is not None
            popen.stdin.write(f"{len(server.request)}\n".encode() + server.request)
            popen.stdin.flush()
            yield Load(popen)
        finally:
            popen.kill()
