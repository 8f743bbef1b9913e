"""A wire that blocks its thread, on the standard library's HTTP client."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead

from tidegate.client.head import Head
from tidegate.client.http import FAILURES, connection_to
from tidegate.client.no_answer import NoAnswer, no_answer
from tidegate.client.wire import Request
from tidegate.http_client.endpoint import Endpoint

CONNECT_SECONDS = 10.0
"""Until there is a connection: the one step that nobody can end from another thread."""

IDLE_SECONDS = 4.0
"""Servers, proxies too, keep idle connections for 5 s and more; a request that crosses such a close is lost."""

MAX_IDLE = 8
CHUNK_BYTES = 65536


class BlockingLine:
    """One connection at a time to the server. Made by `BlockingWire`."""

    def __init__(self, endpoint: Endpoint, idle: deque[tuple[HTTPConnection, float]]) -> None:
        self.closed = False
        self._endpoint = endpoint
        self._idle = idle
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._response: HTTPResponse | None = None
        self._ended = threading.Event()
        # Reentrant, since a signal's handler may close what its own thread is using.
        self._guard = threading.RLock()
        self._in_use = False

    def __del__(self) -> None:
        self.close()

    async def send(self, request: Request, seconds: float) -> Head:
        with self._using(f"{self._endpoint.scheme}://{self._endpoint.authority} does not answer"):
            self._connection = connection = self._kept() or self._opened(min(seconds, CONNECT_SECONDS))
            # The connection lets go of it where the answer ends with the connection.
            self._socket = connection.sock
            self._wait_for(seconds)
            fields = {name: value.encode() for name, value in request.fields.items()}
            connection.request(request.method, self._endpoint.target(request.path), request.body, fields)
            self._response = response = connection.getresponse()
            return Head(response.status, {name.lower(): value for name, value in response.getheaders()})

    async def read(self, seconds: float) -> bytes:
        response = self._response
        if response is None or response.isclosed():
            return b""
        with self._using("the connection broke"):
            self._wait_for(seconds)
            chunk = response.read1(CHUNK_BYTES)
            if not chunk and response.length:
                raise IncompleteRead(b"", response.length)
            return chunk

    async def wait(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def release(self) -> None:
        response, connection = self._response, self._connection
        if connection is None or response is None or not self._may_keep(response):
            self._drop()
            return
        self._connection = self._socket = self._response = None
        response.close()
        self._idle.append((connection, time.monotonic()))

    def close(self) -> None:
        with self._guard:
            self.closed = True
            self._ended.set()
            if not self._in_use:
                self._drop()
            elif self._socket is not None:
                # Whoever is waiting for it now reads its end, and closes it.
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _may_keep(self, response: HTTPResponse) -> bool:
        """Whether the answer was read to its end, so that its connection may carry another one."""
        whole = (response.isclosed() or response.length == 0) and not response.will_close
        return whole and not self.closed and len(self._idle) < MAX_IDLE

    def _wait_for(self, seconds: float) -> None:
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def _kept(self) -> HTTPConnection | None:
        with suppress(IndexError):
            while True:
                connection, since = self._idle.pop()
                if time.monotonic() - since < IDLE_SECONDS and not _is_readable(connection.sock):
                    return connection
                connection.close()
        return None

    def _opened(self, seconds: float) -> HTTPConnection:
        connection = connection_to(self._endpoint, seconds)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _using(self, said: str) -> Generator[None]:
        """Holds the connection against `close`; whatever goes wrong leaves none. Raises as `Line.send` does."""
        self._in_use = True
        try:
            if self.closed:
                raise NoAnswer("the connection was closed here")
            yield
        except FAILURES as error:
            self._drop()
            raise no_answer(said, error) from error
        except BaseException:
            self._drop()
            raise
        finally:
            with self._guard:
                self._in_use = False
                if self.closed:
                    self._drop()

    def _drop(self) -> None:
        response, connection = self._response, self._connection
        self._connection = self._socket = self._response = None
        if connection is not None:
            connection.close()
        if response is not None:
            # Its file keeps the socket open.
            response.close()


class BlockingWire:
    """Lines to one server, which keep connections for each other; used from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._idle: deque[tuple[HTTPConnection, float]] = deque()

    def __del__(self) -> None:
        self.close()

    def line(self) -> BlockingLine:
        return BlockingLine(self._endpoint, self._idle)

    def lock(self) -> BlockingLock:
        return BlockingLock()

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        with suppress(IndexError):
            while True:
                self._idle.pop()[0].close()


class BlockingLock:
    """A lock of threads in the form of a lock of tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


def _is_readable(sock: socket.socket) -> bool:
    """Whether bytes, or the end of the connection, have come while nobody was asked for anything."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
