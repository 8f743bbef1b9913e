"""A stream's events as a `text/event-stream` response: straight to the connection, or through plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import Receive, Send

from tidegate.core.notices import Gap, Reconnect
from tidegate.transports.direct import Delivery
from tidegate.transports.disconnect import close_when_gone
from tidegate.transports.source import Encoder, Source
from tidegate.transports.wire import Wire

HEADERS = [
    (b"content-type", b"text/event-stream"),
    # `no-transform` and `x-accel-buffering` keep proxies from compressing, and so buffering, on their own.
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


async def send_events(
    receive: Receive,
    send: Send,
    wire: Wire | None,
    source: Source,
    encoder: Encoder,
    *,
    headers: Sequence[tuple[bytes, bytes]],
    heartbeat_seconds: float,
    buffer_bytes: int,
    first: bytes = b"",
) -> None:
    """Sends headers and preamble at once, then everything the reader yields until the stream's end; closes the reader.

    `first` is sent after the preamble. When the client leaves, the reader is closed and nothing more is sent.
    """
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *headers]})
        if wire is not None:
            await _write(wire, source, encoder, first, buffer_bytes, heartbeat_seconds)
        else:
            await _send(receive, send, source, encoder, first, heartbeat_seconds)
        if not source.left.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        source.close()


async def _write(
    wire: Wire, source: Source, encoder: Encoder, first: bytes, buffer_bytes: int, heartbeat_seconds: float
) -> None:
    delivery = Delivery(wire, source, encoder, limit=buffer_bytes, heartbeat_seconds=heartbeat_seconds)
    try:
        delivery.begin(encoder.preamble + first)
        await delivery.over
        if wire.gone:
            source.close()
    finally:
        delivery.stop()


async def _send(
    receive: Receive, send: Send, source: Source, encoder: Encoder, first: bytes, heartbeat_seconds: float
) -> None:
    departure = asyncio.ensure_future(close_when_gone(receive, source))
    try:
        # Empty, it still makes a server that waits for the first piece of the body send the headers.
        await _send_body(send, encoder.preamble + first)
        over = False
        while not over and not source.left.is_set():
            found = await source.next(heartbeat_seconds)
            if isinstance(found, Gap | Reconnect):
                await _send_body(send, encoder.notice(found))
            elif found:
                await _send_body(send, encoder.entries(found))
            elif not source.left.is_set():
                await _send_body(send, encoder.heartbeat)
            over = source.at_end or isinstance(found, Reconnect)
    finally:
        departure.cancel()


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
