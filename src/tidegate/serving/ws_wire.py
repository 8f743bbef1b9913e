"""The direct way to a WebSocket: whole frames written straight to its connection, those of many streams in turn.

`ws_protocol` puts a `SocketWire` into the ASGI scope as the extension `tidegate.wire`; under another server there is
none, and messages go through ASGI's `send`. The handshake, what is received and the close always go through ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from tidegate.serving.guest import Keep
from tidegate.serving.traffic import Traffic, traffic_of
from tidegate.serving.wire import EXTENSION
from tidegate.serving.ws_heart import Liveness


class Ear(Protocol):
    """The protocol of the socket, as far as the application has a say in what it takes."""

    def known(self) -> None:
        """It is known who is calling."""
        ...

    def hear(self, most: int | None) -> None:
        """A message has at most so many bytes from now on; None: as many as ever."""
        ...


class SocketWire:
    """One WebSocket, as far as those who write to it need it.

    `full` is set while more than the limit waits to be sent; `gone` from the close frame on, ours or the client's,
    or once the connection is lost. What is written then raises.
    """

    def __init__(self, transport: asyncio.Transport, ear: Ear) -> None:
        self.ear = ear
        self.keep: Keep | None = None
        self.full = False
        self.gone = False
        self.drains = 0
        self.liveness = Liveness.ACTIVE
        # Hands bytes, which are whole frames, to the connection.
        self.write: Callable[[bytes], None] = transport.write
        self._transport = transport
        # Nearly all have one, which is half as large like this as in a dict.
        self._lanes: tuple[tuple[Lane, Callable[[], None]], ...] = ()
        self._on_liveness: Callable[[Liveness], None] | None = None

    def lane(self) -> Lane:
        """A wire for one stream on this socket."""
        return Lane(self)

    def on_liveness(self, tell: Callable[[Liveness], None] | None) -> None:
        """Who is told of every change of `liveness`."""
        self._on_liveness = tell

    def traffic(self) -> Traffic | None:
        """What has gone over the connection so far."""
        return traffic_of(self._transport)

    def attach(self, lane: Lane, limit: int, on_change: Callable[[], None]) -> None:
        """What lanes call: their limits are one and the same."""
        self.check()
        if not self.gone:
            self._transport.set_write_buffer_limits(high=limit)
            self._lanes = (*self._lanes, (lane, on_change))

    def detach(self, lane: Lane) -> None:
        """What lanes call."""
        self._lanes = tuple(pair for pair in self._lanes if pair[0] is not lane)

    def check(self) -> bool:
        """Whether the socket is closed, or about to be."""
        self.gone = self.gone or self._transport.is_closing()
        return self.gone

    def abort(self) -> None:
        """Breaks the connection at once; what waits to be sent is dropped."""
        self._transport.abort()

    def changed(self, *, full: bool | None = None, gone: bool = False) -> None:
        """What the protocol says of its connection."""
        self.drains += full is False
        self.full = self.full if full is None else full
        self.gone = self.gone or gone
        for _, tell in self._lanes:
            tell()

    def lives(self, liveness: Liveness) -> None:
        """What the protocol says of its client."""
        if liveness is not self.liveness:
            self.liveness = liveness
            if self._on_liveness is not None:
                self._on_liveness(liveness)


class Lane:
    """One stream's share of a socket: a `Wire` whose bodies are frames already."""

    __slots__ = ("_socket",)

    def __init__(self, socket: SocketWire) -> None:
        self._socket = socket

    @staticmethod
    def frame(body: bytes) -> bytes:
        """The body as it is: its dialect has made frames of it, the same for all readers."""
        return body

    @property
    def write(self) -> Callable[[bytes], None]:
        """The connection's own."""
        return self._socket.write

    @property
    def full(self) -> bool:
        return self._socket.full

    @property
    def gone(self) -> bool:
        return self._socket.gone

    @property
    def drains(self) -> int:
        return self._socket.drains

    def attach(self, limit: int, on_change: Callable[[], None], probe: Callable[[], None]) -> None:
        # A WebSocket has pings of its own.
        self._socket.attach(self, limit, on_change)

    def detach(self) -> None:
        self._socket.detach(self)

    def check(self) -> bool:
        return self._socket.check()

    def abort(self) -> None:
        self._socket.abort()


def socket_wire_of(scope: MutableMapping[str, Any]) -> SocketWire | None:
    """The wire of a WebSocket, if its server has one."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return extensions.get(EXTENSION)
