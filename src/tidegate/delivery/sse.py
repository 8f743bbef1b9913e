"""Sends a stream's events as a `text/event-stream` response: straight to the connection, or through plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, cast

import msgspec
from starlette.types import Receive, Send

from tidegate.core.notices import Notice, Reconnect
from tidegate.core.sse import RESPONSE_HEADERS
from tidegate.delivery.broadcast import Broadcast
from tidegate.delivery.compression import Gzip
from tidegate.delivery.departure import close_when_gone
from tidegate.delivery.direct_delivery import Delivery
from tidegate.delivery.pieces import send_pieces
from tidegate.delivery.reader_port import ReaderPort
from tidegate.dialects.base import Dialect
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
    gzip: Gzip | None = None
    broadcast: Broadcast | None = None
    first: bytes = b""
    pieces: AsyncGenerator[bytes] | None = None


async def send_events(receive: Receive, send: Send, wire: Wire | None, reader: ReaderPort, how: Delivered) -> None:
    """Sends headers and preamble at once, then everything the reader yields until the stream's end; closes the reader.

    When the client leaves, the reader is closed and nothing more is sent.
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
                return
        if wire is not None and wire.open:
            await _write(wire, reader, how, first)
        else:
            await _send(receive, send, reader, how, first)
        if not reader.left:
            end = b"" if how.gzip is None else how.gzip.end()
            await send({"type": "http.response.body", "body": end, "more_body": False})
    finally:
        reader.close()


async def _begun(first: bytes, pieces: AsyncGenerator[bytes], gzip: Gzip | None) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        yield first if gzip is None else gzip.write(first, live=False)
        async for piece in pieces:
            yield piece if gzip is None or not piece else gzip.write(piece, live=False)


async def _write(wire: Wire, reader: ReaderPort, how: Delivered, first: bytes) -> None:
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
    )
    # The delivery holds the state from here on, and drops it while in a broadcast.
    how.state = None
    try:
        delivery.begin(first)
        await delivery.over
        if wire.gone:
            reader.close()
    finally:
        delivery.stop()


async def _send(receive: Receive, send: Send, reader: ReaderPort, how: Delivered, first: bytes) -> None:
    dialect, state = how.dialect, how.state

    async def send_body(body: bytes, *, live: bool = False) -> None:
        body = body if how.gzip is None or not body else how.gzip.write(body, live=live)
        await send({"type": "http.response.body", "body": body, "more_body": True})

    departure = asyncio.ensure_future(close_when_gone(receive, reader))
    try:
        # Even an empty body makes servers send the headers that wait for the body's first piece.
        await send_body(first)
        over = False
        while not over and not reader.left:
            found = await reader.next(how.heartbeat_seconds)
            if isinstance(found, Notice):
                await send_body(dialect.notice(state, found))
            elif found:
                await send_body(dialect.encode(state, found, merge=reader.mergeable), live=not reader.more)
            elif not reader.left:
                await send_body(dialect.heartbeat)
            over = reader.at_end or isinstance(found, Reconnect)
    finally:
        departure.cancel()
