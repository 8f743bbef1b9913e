"""Clients that have ended their side of the connection: they may wait for their answer, or be gone (RFC 9112, 9.6).

The two look alike until something is sent. A client that waits acknowledges it; a client that is gone sends a reset.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

START = b"HTTP/1.1 "
"""How every answer begins: one byte at a time, these probe the client before the answer is known."""

FIRST_SECONDS = 0.01
"""Until the first probe: nearly every plain call has been answered by then. Also from the probe to the first look."""

AGAIN_SECONDS = 1.0
"""The time between looks for a reset doubles. Once it is this long, each look probes, too."""

LONGEST_SECONDS = 15.0
"""The longest time between two probes: that between heartbeats."""


class HalfClosed:
    """Watches a half-closed connection: `probe` sends something, and a reset in return aborts the connection."""

    def __init__(self, transport: asyncio.Transport, probe: Callable[[], None]) -> None:
        self._transport = transport
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._seconds = FIRST_SECONDS
        self._timer = self._loop.call_later(FIRST_SECONDS, self._begin)

    def stop(self) -> None:
        """The connection is over."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._probe()
        self._timer = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        if is_reset(self._transport):
            self._transport.abort()
            return
        if self._seconds >= AGAIN_SECONDS:
            self._probe()
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS)
        self._timer = self._loop.call_later(self._seconds, self._look)


def is_reset(transport: asyncio.Transport) -> bool:
    """Whether the peer has reset the connection. The loop does not notice: it stops watching once it has read EOF."""
    poll = select.poll()
    # With no events asked for, poll(2) still reports errors and hang-ups.
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return bool(poll.poll(0))


class BegunAnswer:
    """As much of a transport as uvicorn's cycle uses; the first bytes of the answer may have been sent as probes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._sent = 0
        self.is_closing = transport.is_closing
        self.close = transport.close

    def probe(self) -> None:
        """Sends one more byte of `START`, if any is left."""
        if self._sent < len(START) and not self.is_closing():
            self._transport.write(START[self._sent : self._sent + 1])
            self._sent += 1

    def write(self, data: bytes) -> None:
        """Writes `data`, without those first bytes that probes have sent already."""
        self._transport.write(data[self._sent :])
        self._sent = 0


def probe(cycle: RequestResponseCycle, transport: asyncio.Transport) -> None:
    """Sends a harmless byte as part of the answer that is being made."""
    if not cycle.response_started:
        if not isinstance(cycle.transport, BegunAnswer):
            cycle.transport = cast("asyncio.Transport", BegunAnswer(transport))
        cast("BegunAnswer", cycle.transport).probe()
    elif cycle.chunked_encoding:
        # The next chunk's size may begin with zeros (RFC 9112, 7.1); heartbeats come often enough to keep them few.
        transport.write(b"0")
