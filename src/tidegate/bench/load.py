"""Controls the load generators (`load.c` and `inflate.py`), which are processes of their own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidegate.bench.processes import Server, load_cpu
from tidegate.errors import TidegateError

READY_SECONDS = 120.0
INFLATE = (sys.executable, "-m", "tidegate.bench.inflate")


class Spread(msgspec.Struct, frozen=True):
    """The distribution of a set of times, in milliseconds; percentiles are accurate within 3 %."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float


NONE = Spread(0, 0, 0, 0, 0)


class Counts(msgspec.Struct, frozen=True):
    """Counts of all connections since the last reset; `tokens_min` and `_max` are those of one, since its start.

    A connection is live once it has received a token that was made after it had connected. `disorder` counts tokens
    that were made before their predecessor of the same connection, since its start. `bytes` are those on the wire;
    `body` leaves out heads and the framing of chunks, and is still compressed. Fields with a default are counted by
    only one of the load generators.
    """

    seconds: float
    tokens: int
    events: int
    bytes: int
    delay_ms: Spread
    body: int = 0
    reads: int = 0
    ends: int = 0
    closed: int = 0
    failed: int = 0
    connected: int = 0
    live: int = 0
    tokens_min: int = 0
    tokens_max: int = 0
    disorder: int = 0
    delay_stalled_ms: Spread = NONE
    to_live_ms: Spread = NONE


class Load:
    """A load generator, whose connections read. Commands are answered in order."""

    def __init__(self, popen: subprocess.Popen[bytes], request: bytes) -> None:
        self._popen = popen
        self._request = request

    def wait_up(self) -> None:
        """Returns when the load generator waits for the request. Raises `TidegateError`."""
        if self._line() != "up":
            raise TidegateError("the load generator did not start")

    def dial(self) -> None:
        """Returns when every connection has received the first bytes of its answer. Raises `TidegateError`."""
        self._write(f"{len(self._request)}\n".encode() + self._request)
        if self._line() != "ready":
            raise TidegateError("the load generator did not get its connections")

    def reset(self) -> None:
        """Sets the counts to 0."""
        self._say("reset")

    def report(self) -> Counts:
        """The counts since the last reset. Raises `TidegateError` where a connection was refused or broke."""
        self._say("report")
        while (line := self._line()) == "ready":
            pass
        counts = msgspec.json.decode(line, type=Counts)
        if counts.failed:
            raise TidegateError(f"{counts.failed} of the connections had no answer with status 200")
        return counts

    def stall(self, count: int) -> None:
        """Stops reading from the first `count` connections."""
        self._say(f"stall {count}")

    def resume(self) -> None:
        """Reads from the stalled connections again."""
        self._say("resume")

    def _say(self, command: str) -> None:
        self._write(f"{command}\n".encode())

    def _write(self, data: bytes) -> None:
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(data)
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise TidegateError("the load generator has ended") from None

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
    websocket: bool = False,
) -> Generator[Load]:
    """Connections that send the server's request and read; at most `at_once` wait for an answer at a time.

    `again`: an answer that has ended is asked for again. `receive_buffer`: of each socket, in bytes; 0 is the system's.
    `websocket`: the request is a handshake; what follows its empty line goes out once that is answered.
    """
    numbers = (server.port, connections, at_once, int(again), receive_buffer, int(websocket))
    with _running([str(program), *map(str, numbers)], server.request) as load:
        yield load


@contextmanager
def inflating(server: Server, connections: int) -> Generator[Load]:
    """Connections that send the server's request, read, and decompress if the request asks for compression.

    The load generator is a Python process like the server, and pages that both share count half to each. So it is
    started before the server's memory is measured.
    """
    with _running([*INFLATE, str(server.port), str(connections)], server.request) as load:
        load.wait_up()
        yield load


@contextmanager
def _running(command: Sequence[str], request: bytes) -> Generator[Load]:
    pinned = ["taskset", "--cpu-list", str(load_cpu()), *command]
    with subprocess.Popen(pinned, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1) as popen:
        try:
            yield Load(popen, request)
        finally:
            popen.kill()
