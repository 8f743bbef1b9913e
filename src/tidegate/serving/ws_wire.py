"""Writes whole frames straight to the connection of a WebSocket, which many streams may share.

`ws_protocol` puts a `SocketWire` into the ASGI scope as the extension `tidegate.wire`; under another server there is
none, and messages go through ASGI's `send`. The handshake, what is received and the close always go through ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from tidegate.serving.guest import Keep
from tidegate.serving.traffic import Traffic, traffic_of
from tidegate.serving.wire import EXTENSION
from tidegate.serving.ws_heart import Liveness

Listener = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""Takes one message of ASGI, `websocket.receive` or `websocket.disconnect`, in the context of the application. The last
is a disconnect, after which it ends the `Detached`."""


class Ear(Protocol):
    """What the application may tell the protocol of the socket about incoming messages."""

    def known(self) -> None:
        """The caller is known."""
        ...

    def hear(self, most: int | None) -> None:
        """Limits the next messages to `most` bytes each; None: to the protocol's own limit."""
        ...

    async def send(self, message: Any) -> None:
        """ASGI's `send`, without the layers around the application. Raises an `OSError` once the socket is closed."""
        ...

    def listen(self, listener: Listener) -> None:
        """Gives each message to `listener` from now on, one after the other; the application returns (see `Detached`).

        A listener that raises has its socket closed with 1011, the error logged, and hears only the disconnect then.
        """
        ...


class SocketWire:
    """One WebSocket, as its writers see it.

    `full` is set while more than the limit waits to be sent; `gone` from the close frame on, ours or the client's,
    or once the connection is lost. What is written then raises.
    """

    # Half the memory of an instance with a dict.
    __slots__ = (
        "_lanes",
        "_on_liveness",
        "_transport",
        "drains",
        "ear",
        "full",
        "gone",
        "keep",
        "liveness",
        "write",
    )

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
        # Nearly all sockets have one lane; a tuple takes half the memory of a dict then.
        self._lanes: tuple[tuple[Lane, Callable[[], None]], ...] = ()
        self._on_liveness: Callable[[Liveness], None] | None = None

    def lane(self) -> Lane:
        """An outlet for one stream on this socket."""
        return Lane(self)

    def on_liveness(self, tell: Callable[[Liveness], None] | None) -> None:
        """Sets the callback for changes of `liveness`; None removes it."""
        self._on_liveness = tell

    def traffic(self) -> Traffic | None:
        """How much has gone over the connection so far."""
        return traffic_of(self._transport)

    def watch(self, lane: Lane, limit: int, on_change: Callable[[], None]) -> None:
        """Called by lanes, all with the same limit."""
        self.check()
        if not self.gone:
            self._transport.set_write_buffer_limits(high=limit)
            self._lanes = (*self._lanes, (lane, on_change))

    def unwatch(self, lane: Lane) -> None:
        """Called by lanes."""
        self._lanes = tuple(pair for pair in self._lanes if pair[0] is not lane)

    def check(self) -> bool:
        """Whether the socket is closed, or about to be."""
        self.gone = self.gone or self._transport.is_closing()
        return self.gone

    def abort(self) -> None:
        """Breaks the connection at once; what waits to be sent is dropped."""
        self._transport.abort()

    def changed(self, *, full: bool | None = None, gone: bool = False) -> None:
        """Called by the protocol when its connection is full, has drained, or is gone."""
        self.drains += full is False
        self.full = self.full if full is None else full
        self.gone = self.gone or gone
        for _, tell in self._lanes:
            tell()

    def lives(self, liveness: Liveness) -> None:
        """Called by the protocol with what it thinks of its client."""
        if liveness is not self.liveness:
            self.liveness = liveness
            if self._on_liveness is not None:
                self._on_liveness(liveness)


class Lane:
    """The `Outlet` of one stream on a socket. Its bodies are WebSocket frames already."""

    __slots__ = ("_socket",)

    def __init__(self, socket: SocketWire) -> None:
        self._socket = socket

    @staticmethod
    def frame(body: bytes) -> bytes:
        """The body unchanged: its dialect has made frames of it, the same for all readers."""
        return body

    @property
    def write(self) -> Callable[[bytes], None]:
        """The connection's `write`."""
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

    def watch(self, limit: int, on_change: Callable[[], None], probe: Callable[[], None]) -> None:
        # A WebSocket has pings of its own.
        self._socket.watch(self, limit, on_change)

    def unwatch(self) -> None:
        self._socket.unwatch(self)

    def check(self) -> bool:
        return self._socket.check()

    def abort(self) -> None:
        self._socket.abort()


def socket_wire_of(scope: MutableMapping[str, Any]) -> SocketWire | None:
    """The wire of a WebSocket, if its server has one."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return extensions.get(EXTENSION)
