"""Clients that have ended their side of the connection: they may wait for their answer, or be gone (RFC 9112, 9.6).

The two look alike until something is sent. Who waits acknowledges it; the system of who is gone answers with a reset.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

START = b"HTTP/1.1 "
"""How every answer begins, whatever it is going to be: so many times its client can be probed before it is known."""

FIRST_SECONDS = 0.01
"""Until the first probe: nearly every plain call has been answered by then, in one piece. And until the first look."""

AGAIN_SECONDS = 1.0
"""Looks for a reset are twice as far apart each time. From here on each of them probes, too."""

LONGEST_SECONDS = 15.0
"""Between two probes: as long as between heartbeats."""


class HalfClosed:
    """Watches over such a connection: `probe` has something sent, and a reset that comes of it breaks it."""

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
    """Whether the other end has reset the connection, which a loop that has read its end looks at no more."""
    poll = select.poll()
    # Nothing is asked for: errors and the loss of the connection are told all the same (poll(2)).
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return bool(poll.poll(0))


class BegunAnswer:
    """A transport, as far as uvicorn's cycle has to do with one, on which the first bytes of the answer are sent."""

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
        """Sends what is left of the answer's beginning, and then everything."""
        self._transport.write(data[self._sent :])
        self._sent = 0


def probe(cycle: RequestResponseCycle, transport: asyncio.Transport) -> None:
    """Sends, as part of an answer that is made at the moment, something that does no harm."""
    if not cycle.response_started:
        if not isinstance(cycle.transport, BegunAnswer):
            cycle.transport = cast("asyncio.Transport", BegunAnswer(transport))
        cast("BegunAnswer", cycle.transport).probe()
    elif cycle.chunked_encoding:
        # The next chunk's size may begin with zeros (RFC 9112, 7.1), of which a heartbeat is the next but few.
        transport.write(b"0")
