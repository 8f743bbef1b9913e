"""A stream's events as a `text/event-stream` response, over plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from starlette.types import Receive, Send

from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Reconnect
from tidegate.transports.disconnect import close_when_gone
from tidegate.transports.source import Source

HEADERS = [
    (b"content-type", b"text/event-stream"),
    # `no-transform` and `x-accel-buffering` keep proxies from compressing, and so buffering, on their own.
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Encoder(Protocol):
    """What the transport needs of a dialect. `heartbeat` is sent after so much silence."""

    preamble: bytes
    heartbeat: bytes

    def entries(self, entries: Sequence[Entry]) -> bytes: ...

    def notice(self, notice: Gap | Reconnect) -> bytes: ...


async def send_events(
    receive: Receive,
    send: Send,
    reader: Source,
    encoder: Encoder,
    *,
    headers: Sequence[tuple[bytes, bytes]],
    heartbeat_seconds: float,
    first: bytes = b"",
) -> None:
    """Sends headers and preamble at once, then everything the reader yields until the stream's end; closes the reader.

    `first` is sent after the preamble. When the client leaves, the reader is closed and nothing more is sent.
    """
    departure = asyncio.ensure_future(close_when_gone(receive, reader))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *headers]})
        # Empty, it still makes a server that waits for the first piece of the body send the headers.
        await _send_body(send, encoder.preamble + first)
        while not reader.left.is_set():
            found = await reader.next(heartbeat_seconds)
            if isinstance(found, Gap | Reconnect):
                await _send_body(send, encoder.notice(found))
            elif found:
                await _send_body(send, encoder.entries(found))
            elif not reader.left.is_set():
                await _send_body(send, encoder.heartbeat)
            if reader.at_end or isinstance(found, Reconnect):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
    finally:
        departure.cancel()
        reader.close()


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
