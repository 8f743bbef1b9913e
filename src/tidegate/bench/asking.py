"""Sends small requests one after the other, over a few kept connections."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from tidegate.bench.processes import Server, load_cpu
from tidegate.errors import TidegateError

READ_SIZE = 65536
LENGTH = b"\r\ncontent-length: "


class Asking:
    """Connections that repeat the server's request as soon as its answer has come; pinned to the load's CPU."""

    def __init__(self, request: bytes, connections: list[socket.socket]) -> None:
        self._request = request
        self._connections = connections

    def ask(self, seconds: float) -> int:
        """Asks for so many seconds; returns the number of answers. Raises `TidegateError` for one that is not 200."""
        with _pinned(load_cpu()):
            for connection in self._connections:
                connection.sendall(self._request)
            return self._answered(time.monotonic() + seconds)

    def _answered(self, until: float) -> int:
        count = 0
        waiting = set(self._connections)
        while waiting:
            for connection in select.select(waiting, (), ())[0]:
                _read(connection)
                count += 1
                if time.monotonic() < until:
                    connection.sendall(self._request)
                else:
                    waiting.discard(connection)
        return count


@contextmanager
def asking(server: Server, connections: int) -> Generator[Asking]:
    """Opens so many connections to the server."""
    with ExitStack() as stack:
        address = "127.0.0.1", server.port
        made = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(connections)]
        for connection in made:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Asking(server.request, made)


def _read(connection: socket.socket) -> None:
    """Reads one answer, which has a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    if head[9:12] != b"200":
        raise TidegateError(f"this answer was not expected: {data.decode(errors='replace')}")
    length = int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(READ_SIZE)
    if not data:
        raise TidegateError("a connection has ended")
    return data


@contextmanager
def _pinned(cpu: int) -> Generator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
