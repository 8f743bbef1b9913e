"""A wire that blocks its thread, on the standard library's HTTP client."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import cast

from tidegate.client.head import Head
from tidegate.client.http import FAILURES, connection_to
from tidegate.client.no_answer import NoAnswer, no_answer
from tidegate.client.timed_socket import FinalResponse, TimedSocket
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
        self._socket: TimedSocket | None = None
        self._response: HTTPResponse | None = None
        # Held until `close`. An event would not do: a signal's handler that sets it waits for the thread it runs in.
        self._unended = threading.Lock()
        self._unended.acquire()
        # Reentrant, since a signal's handler may close what its own thread is using.
        self._guard = threading.RLock()
        self._in_use = False

    def __del__(self) -> None:
        self.close()

    async def send(self, request: Request, seconds: float) -> Head:
        with self._using(f"{self._endpoint.scheme}://{self._endpoint.authority} does not answer"):
            began = time.monotonic()
            self._connection = connection = self._kept() or self._opened(min(seconds, CONNECT_SECONDS))
            # The connection lets go of it where the answer ends with the connection.
            self._socket = cast("TimedSocket", connection.sock)
            self._insist_on_open()
            self._allow(began + seconds - time.monotonic())
            fields = {name: value.encode() for name, value in request.fields.items()}
            connection.request(request.method, self._endpoint.target(request.path), request.body, fields)
            self._response = response = connection.getresponse()
            return Head(response.status, {name.lower(): value for name, value in response.getheaders()})

    async def read(self, seconds: float) -> bytes:
        response = self._response
        if response is None or response.isclosed():
            return b""
        with self._using("the answer broke off"):
            self._allow(seconds)
            chunk = response.read1(CHUNK_BYTES)
            if not chunk and response.length:
                raise IncompleteRead(b"", response.length)
            return chunk

    async def wait(self, seconds: float) -> None:
        if not self.closed:
            self._unended.acquire(timeout=seconds)

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
            with suppress(RuntimeError):
                self._unended.release()
            if not self._in_use:
                self._drop()
            elif self._socket is not None:
                # Whoever is waiting for it now reads its end, and closes it.
                self._socket.shutdown()

    def _may_keep(self, response: HTTPResponse) -> bool:
        """Whether the answer was read to its end, so that its connection may carry another one."""
        whole = (response.isclosed() or response.length == 0) and not response.will_close
        return whole and not self.closed and len(self._idle) < MAX_IDLE

    def _insist_on_open(self) -> None:
        if self.closed:
            raise NoAnswer("the connection was closed here")

    def _allow(self, seconds: float) -> None:
        if self._socket is not None:
            self._socket.allow(seconds)

    def _kept(self) -> HTTPConnection | None:
        with suppress(IndexError):
            while True:
                connection, since = self._idle.pop()
                if time.monotonic() - since < IDLE_SECONDS and not _is_readable(cast("TimedSocket", connection.sock)):
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
        connection.sock = TimedSocket(connection.sock)
        connection.response_class = FinalResponse
        return connection

    @contextmanager
    def _using(self, said: str) -> Generator[None]:
        """Holds the connection against `close`; whatever goes wrong leaves none. Raises as `Line.send` does."""
        self._in_use = True
        try:
            self._insist_on_open()
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


def _is_readable(sock: TimedSocket) -> bool:
    """Whether bytes, or the end of the connection, have come while nobody was asked for anything."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
