"""Sends a stream's events as a `text/event-stream` response: straight to the connection, or through plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

import msgspec
from starlette.types import Receive, Send

from tidegate.core.detached import Detached
from tidegate.core.notices import Notice, Reconnect
from tidegate.core.sse import RESPONSE_HEADERS
from tidegate.delivery.broadcast import Broadcast
from tidegate.delivery.compression import Gzip
from tidegate.delivery.departure import close_when_gone
from tidegate.delivery.direct_delivery import Delivery
from tidegate.delivery.pieces import send_pieces
from tidegate.delivery.reader_port import ReaderPort
from tidegate.dialects.base import Dialect
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.serving.wire import Outlet, Wire


class Delivered(msgspec.Struct, kw_only=True):
    """How to deliver one response: its dialect, headers, first bytes and limits.

    `state` is the dialect's state at the reader's position. All readers of a `broadcast` are sent the same bytes.
    `pieces`, such as those of a long snapshot, follow `first`.
    """

    dialect: Dialect[Any]
    state: Any
    headers: Sequence[tuple[bytes, bytes]]
    heartbeat_seconds: float
    buffer_bytes: int
    meter: Deliveries
    gzip: Gzip | None = None
    broadcast: Broadcast | None = None
    first: bytes = b""
    pieces: AsyncGenerator[bytes] | None = None


def _never() -> None:
    pass


async def send_events(
    receive: Receive,
    send: Send,
    wire: Wire | None,
    reader: ReaderPort,
    how: Delivered,
    detach: Callable[[], Detached | None] = _never,
) -> Detached | None:
    """Sends headers and preamble at once, then everything the reader yields until the stream's end; closes the reader.

    When the client leaves, the reader is closed and nothing more is sent. Returns the answer where `detach` has
    detached it: then it goes on.
    """
    encoding = [] if how.gzip is None else [(b"content-encoding", b"gzip")]
    headers = [*RESPONSE_HEADERS, *how.dialect.headers, *how.headers, *encoding]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # This function runs for as long as the answer, which has no use for them any more.
        del headers, encoding
        how.headers = ()
        first = how.dialect.preamble + how.first
        if how.pieces is not None:
            pieces, how.pieces = how.pieces, None
            await send_pieces(receive, send, _begun(first, pieces, how.gzip), wire)
            first = b""
            if wire is not None and wire.check():
                return None
        if wire is not None and wire.open:
            detached = await _write(wire, reader, how, first, detach)
            if detached is not None:
                return detached
        else:
            await _send(receive, send, reader, how, first)
        if not reader.left:
            await send({"type": "http.response.body", "body": _end(how.gzip), "more_body": False})
    except BaseException:
        reader.close()
        raise
    reader.close()
    return None


def _end(gzip: Gzip | None) -> bytes:
    return b"" if gzip is None else gzip.end()


async def _begun(first: bytes, pieces: AsyncGenerator[bytes], gzip: Gzip | None) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        yield first if gzip is None else gzip.write(first, live=False)
        async for piece in pieces:
            yield piece if gzip is None or not piece else gzip.write(piece, live=False)


async def _write(
    wire: Wire, reader: ReaderPort, how: Delivered, first: bytes, detach: Callable[[], Detached | None]
) -> Detached | None:
    """Returns the answer where it was detached, else None once the delivery is over."""
    # pyright takes functions stored in slots for methods.
    way = cast("Outlet", wire)
    delivery = Delivery(
        way,
        reader,
        how.dialect,
        how.state,
        how.gzip,
        how.broadcast,
        limit=how.buffer_bytes,
        heartbeat_seconds=how.heartbeat_seconds,
        meter=how.meter,
    )
    # The delivery holds the state from here on, and drops it while in a broadcast.
    how.state = None
    try:
        delivery.begin(first)
        if wire.chunked and not delivery.over.done() and (detached := detach()) is not None:
            sending = Sending(wire, reader, delivery, detached)
            detached.then(sending.end)
            delivery.over.add_done_callback(sending.over)
            return detached
        await delivery.over
    except BaseException:
        delivery.stop()
        raise
    delivery.stop()
    if wire.gone:
        reader.close()
    return None


class Sending:
    """The first step of a detached answer: ends its delivery, and its body."""

    __slots__ = ("_delivery", "_detached", "_reader", "_wire")

    def __init__(self, wire: Wire, reader: ReaderPort, delivery: Delivery, detached: Detached) -> None:
        self._wire = wire
        self._reader = reader
        self._delivery = delivery
        self._detached = detached

    def over(self, over: asyncio.Future[None]) -> None:
        """The delivery is over."""
        self._detached.end(cast("Exception | None", over.exception()))

    def end(self, _: object, error: Exception | None) -> Exception | None:
        """Completes the body, unless the delivery has failed or its client has left."""
        self._delivery.stop()
        if error is None and not (self._wire.check() or self._reader.left):
            self._wire.finish(_end(self._delivery.gzip))
        self._reader.close()
        return error


async def _send(receive: Receive, send: Send, reader: ReaderPort, how: Delivered, first: bytes) -> None:
    dialect, state = how.dialect, how.state

    async def send_body(body: bytes, *, live: bool = False) -> None:
        if how.gzip is not None and body:
            plain, body = body, how.gzip.write(body, live=live)
            how.meter.compressed(plain, body)
        await send({"type": "http.response.body", "body": body, "more_body": True})

    departure = asyncio.ensure_future(close_when_gone(receive, reader))
    try:
        # Even an empty body makes servers send the headers that wait for the body's first piece.
        await send_body(first)
        over = False
        while not over and not reader.left:
            found = await reader.next(how.heartbeat_seconds)
            if isinstance(found, Notice):
                how.meter.told(found)
                await send_body(dialect.notice(state, found))
            elif found:
                if reader.mergeable:
                    how.meter.merged(found)
                await send_body(dialect.encode(state, found, merge=reader.mergeable), live=not reader.more)
            elif not reader.left:
                await send_body(dialect.heartbeat)
            over = reader.at_end or isinstance(found, Reconnect)
    finally:
        departure.cancel()
