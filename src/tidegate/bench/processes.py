"""Processes that are measured: pins them to a CPU, and reads their CPU time and memory."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from tidegate.errors import TidegateError

STOP_SECONDS = 10
START_SECONDS = 60
"""A gateway that looks for its workers before it is ready takes a second or two."""

LOOK_SECONDS = 0.05
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A process that listens on loopback, and the request that its readers send."""

    pid: int
    port: int
    request: bytes = b""

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"


def server_cpu() -> int:
    """The CPU of the contenders."""
    return min(os.sched_getaffinity(0))


def load_cpu() -> int:
    """The CPU of the load; that of the contenders if there is no other."""
    return max(os.sched_getaffinity(0))


@contextmanager
def listening(
    command: Sequence[str | Path], cpu: int, cwd: Path | None = None, environ: Mapping[str, str] | None = None
) -> Generator[Server]:
    """Starts a server that prints a line with its URL when it is ready; at the end stops it. `environ` is added to the
    environment.

    Raises `TidegateError` where the server ends before it is ready.
    """
    popen = subprocess.Popen(
        command, stdout=subprocess.PIPE, preexec_fn=pinned(cpu), cwd=cwd, env={**os.environ, **(environ or {})}
    )
    with popen:
        try:
            assert popen.stdout is not None
            line = popen.stdout.readline().decode()
            port = line.partition("127.0.0.1:")[2].split("/")[0].split()
            if not port:
                raise TidegateError(f"{Path(command[0]).name} did not start")
            yield Server(popen.pid, int(port[0]))
        finally:
            _stop(popen)


@contextmanager
def answering(command: Sequence[str | Path], cpu: int, port: int, path: str) -> Generator[Server]:
    """Starts a server that does not say when it is ready, and asks for `path` until that is 200; at the end stops it.

    `port` is the one that its command has. Raises `TidegateError` where it ends before, or takes too long.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=pinned(cpu)) as popen:
        try:
            _wait_well(popen, port, path)
            yield Server(popen.pid, port)
        finally:
            _stop(popen)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, and of children that have ended (proc(5), fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def memory_bytes(pid: int) -> int:
    """The proportional set size: memory in which shared pages are divided among the processes that share them."""
    return _kibibytes(pid, "smaps_rollup", "Pss") * 1024


def resident_bytes(pid: int) -> int:
    """The resident memory, with shared pages in full."""
    return _kibibytes(pid, "status", "VmRSS") * 1024


def peak_bytes(pid: int) -> int:
    """The most memory that was ever resident."""
    return _kibibytes(pid, "status", "VmHWM") * 1024


def _wait_well(popen: subprocess.Popen[bytes], port: int, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_well(port, path):
        if popen.poll() is not None or time.monotonic() > deadline:
            raise TidegateError(f"the server that was asked for {path} did not start")
        time.sleep(LOOK_SECONDS)


def _is_well(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _kibibytes(pid: int, file: str, key: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise TidegateError(f"process {pid} shows no {key}")


def pinned(cpu: int) -> Callable[[], None]:
    def pin() -> None:
        os.sched_setaffinity(0, {cpu})
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return pin


def _stop(popen: subprocess.Popen[bytes]) -> None:
    # Draining would wait for readers that never leave; the second signal ends the server at once.
    for which in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if popen.poll() is not None:
            return
        popen.send_signal(which)
        try:
            popen.wait(0.1 if which == signal.SIGTERM else STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
