"""A wire that awaits, in a loop of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from tidegate.client.head import Head
from tidegate.client.no_answer import no_answer
from tidegate.client.wire import Request
from tidegate.http_client.connect import connect
from tidegate.http_client.connection import ClientConnection, ResponseHead
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import ClosedUnanswered, HttpError
from tidegate.http_client.pool import ConnectionPool

CONNECT_SECONDS = 10.0

MAX_UNREAD_BYTES = 1024 * 1024
"""Past it the server is slowed down: what nobody reads shall not fill the memory."""

CHUNK_BYTES = 65536
"""So much of a body is handed on at a time: of tiny events that is some 20 ms of work."""


class Exchange:
    """One answer, as its connection receives it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.is_whole = False
        self._connection = connection
        self._head: Head | None = None
        self._unread = bytearray()
        self._error: Exception | None = None
        self._moved = asyncio.Event()

    async def head(self) -> Head:
        """The head, once it has come. Raises `HttpError`."""
        while self._head is None:
            await self._news()
        return self._head

    async def body(self) -> bytes:
        """What has come of the body since, or comes next; empty at its end. Raises `HttpError`."""
        if self._unread:
            # Between two pieces of what has come already others have their turn.
            await asyncio.sleep(0)
        while not self._unread and not self.is_whole:
            await self._news()
        chunk = bytes(self._unread[:CHUNK_BYTES])
        del self._unread[:CHUNK_BYTES]
        if not self.is_whole:
            self._connection.resume()
        return chunk

    async def _news(self) -> None:
        if self._error is not None:
            raise self._error
        self._moved.clear()
        await self._moved.wait()

    # What the connection calls.

    def answered(self, head: ResponseHead) -> None:
        self._head = Head(head.status, head.headers)
        self._moved.set()

    def receive(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) > MAX_UNREAD_BYTES:
            self._connection.pause()
        self._moved.set()

    def closed(self, error: Exception | None) -> None:
        self._error = error
        self.is_whole = error is None
        self._moved.set()


class AwaitingLine:
    """One connection at a time to the server. Made by `AwaitingWire`."""

    def __init__(self, wire: AwaitingWire) -> None:
        self.closed = False
        self._wire = wire
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ConnectionPool | None = None
        self._connection: ClientConnection | None = None
        self._exchange: Exchange | None = None
        self._ended = asyncio.Event()

    def __del__(self) -> None:
        # In whichever thread that is.
        if self._connection is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._connection.abort)

    async def send(self, request: Request, seconds: float) -> Head:
        endpoint = self._wire.endpoint
        async with self._using(seconds, f"{endpoint.scheme}://{endpoint.authority} does not answer"):
            self._loop = asyncio.get_running_loop()
            self._pool = await self._wire.pool()
            self._connection = connection = await self._pool.take()
            if self.closed:
                raise ClosedUnanswered("was closed here")
            self._exchange = exchange = Exchange(connection)
            fields, body = dict(request.fields), request.body or b""
            if request.body is not None:
                fields["content-length"] = str(len(body))
            connection.send(endpoint.request_head(request.method, request.path, fields) + b"\r\n" + body, exchange)
            return await exchange.head()

    async def read(self, seconds: float) -> bytes:
        if self._exchange is None:
            return b""
        async with self._using(seconds, "the answer broke off"):
            return await self._exchange.body()

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def release(self) -> None:
        whole = self._exchange is not None and self._exchange.is_whole
        if whole and self._connection is not None and self._pool is not None and not self.closed:
            connection, self._connection = self._connection, None
            self._pool.give_back(connection)
        self._drop()

    def close(self) -> None:
        self.closed = True
        self._ended.set()
        if self._exchange is not None:
            self._exchange.closed(ClosedUnanswered("was closed here"))
        self._drop()

    @asynccontextmanager
    async def _using(self, seconds: float, said: str) -> AsyncGenerator[None]:
        """Whatever goes wrong leaves no connection. Raises as `Line.send` does."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (OSError, HttpError) as error:
            self._drop()
            raise no_answer(said, error) from error
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            connection.abort()


class AwaitingWire:
    """Lines to one server, which keep connections for each other, per loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ConnectionPool | None = None
        self._closing: AsyncGenerator[None] | None = None

    def line(self) -> AwaitingLine:
        return AwaitingLine(self)

    def lock(self) -> AbstractAsyncContextManager[object]:
        return asyncio.Lock()

    async def pool(self) -> ConnectionPool:
        """The connections of the running loop: those of another one, which has ended perhaps, are of no use."""
        loop = asyncio.get_running_loop()
        if self._pool is None or self._loop is not loop:
            self._loop = loop
            # Our own server says when it closes a connection: none has to rest.
            self._pool = ConnectionPool(lambda: connect(self.endpoint, CONNECT_SECONDS), rest_seconds=0.0)
            self._closing = _closing(self._pool)
            await anext(self._closing)
        return self._pool

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


async def _closing(pool: ConnectionPool) -> AsyncGenerator[None]:
    """Closes the pool when its loop ends: `asyncio.run` closes the generators that were begun in it."""
    try:
        yield
    finally:
        pool.close()


async def settled() -> None:
    """Lets the loop close the sockets that were given up."""
    await asyncio.sleep(0)
