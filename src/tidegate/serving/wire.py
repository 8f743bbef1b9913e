"""Writes bytes straight to a client's connection, within the callback that brought them.

`http_protocol` puts a `Wire` into the ASGI scope as the extension `tidegate.wire`; under another server there is
none, and the same bytes go through ASGI's `send`. Headers and the end of a response always go through `send`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from tidegate.core.detached import DETACH
from tidegate.serving.guest import Guest, Keep
from tidegate.serving.traffic import Traffic, traffic_of

EXTENSION = "tidegate.wire"

LAST_CHUNK = b"0\r\n\r\n"
"""RFC 9112, 7.1."""


class Outlet(Protocol):
    """What a delivery needs of its connection: a `Wire`, or a `Lane` of a WebSocket.

    `full` is set while more than the limit waits to be sent, `gone` once nothing more can be. `frame` turns a
    body, which is not empty, into what `write` takes; all members of a broadcast frame alike.
    """

    @property
    def full(self) -> bool: ...

    @property
    def gone(self) -> bool: ...

    @property
    def drains(self) -> int:
        """How often the write buffer has drained: while this grows, the client is reading, however slowly."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]: ...

    def frame(self, body: bytes, /) -> bytes: ...

    def watch(self, limit: int, on_change: Callable[[], None], probe: Callable[[], None]) -> None: ...

    def unwatch(self) -> None: ...

    def check(self) -> bool: ...

    def abort(self) -> None: ...


class Response(Protocol):
    """As much of uvicorn's response cycle as a wire uses."""

    @property
    def response_started(self) -> bool: ...

    @property
    def chunked_encoding(self) -> bool | None: ...

    @property
    def transport(self) -> asyncio.Transport: ...

    @property
    def keep_alive(self) -> bool: ...

    @property
    def message_event(self) -> asyncio.Event: ...

    @property
    def on_response(self) -> Callable[[], None]: ...

    response_complete: bool


class Unbounded(Protocol):
    """A response whose body ends with its connection; `unbounded` once its head has been sent."""

    @property
    def unbounded(self) -> bool: ...


class Wire:
    """An HTTP connection that carries a response of unknown length: chunked in HTTP/1.1, unframed before that.

    `full` is set while more than the limit waits to be sent, `gone` once the connection is lost. `frame` turns
    a body, which is not empty, into what `write` takes.
    """

    # Half the memory of an instance with a dict.
    __slots__ = (
        "_guest",
        "_on_change",
        "_on_probe",
        "_response",
        "_transport",
        "_until_close",
        "drains",
        "frame",
        "full",
        "gone",
        "write",
    )

    def __init__(self, transport: asyncio.Transport, guest: Guest | None = None) -> None:
        self._guest = guest
        self.full = False
        self.gone = False
        self.drains = 0
        self.frame: Callable[[bytes], bytes] = chunk
        # Hands bytes, already framed, to the connection.
        self.write: Callable[[bytes], None] = transport.write
        self._transport = transport
        self._response: Response | None = None
        self._until_close: Unbounded | None = None
        self._on_change: Callable[[], None] | None = None
        self._on_probe: Callable[[], None] | None = None

    @property
    def keep(self) -> Keep | None:
        """See `Guest.keep`."""
        return None if self._guest is None else self._guest.keep

    @property
    def open(self) -> bool:
        """Whether the head is out, and a body of any length may follow.

        Middleware of an application around this one may take a head and send it on later, or with another coding: then
        the body has to go the same way.
        """
        response = self._response
        if response is None or not response.response_started:
            return False
        return bool(response.chunked_encoding) if self._until_close is None else self._until_close.unbounded

    @property
    def chunked(self) -> bool:
        """Whether the client reads chunks. If not, it cannot share the framed bytes of a broadcast."""
        return self._until_close is None

    def begin(self, response: Response, until_close: Unbounded | None) -> None:
        """Makes `response` the current one. With `until_close` it is sent without chunks."""
        self._response = response
        self._until_close = until_close
        self.frame = chunk if until_close is None else _as_it_is

    def finish(self, body: bytes) -> None:
        """Ends the open, chunked response of a detached answer with these last bytes, as uvicorn's `send` would."""
        response = self._response
        if response is None:
            return
        response.transport.write((chunk(body) if body else b"") + LAST_CHUNK)
        response.response_complete = True
        response.message_event.set()
        if not response.keep_alive:
            response.transport.close()
        response.on_response()

    def end(self, response: Response) -> None:
        """The response is over; another one may have begun."""
        if self._response is response:
            self._response = None

    def traffic(self) -> Traffic | None:
        """How much has gone over the connection so far."""
        return traffic_of(self._transport)

    def watch(self, limit: int, on_change: Callable[[], None], probe: Callable[[], None]) -> None:
        """Sets how many bytes may wait. `on_change` is called when they have drained or the connection is lost;
        `probe` writes something without meaning to the client."""
        self.check()
        if not self.gone:
            self._transport.set_write_buffer_limits(high=limit)
            self._on_change = on_change
            self._on_probe = probe

    def check(self) -> bool:
        """Whether the connection is gone or closing."""
        self.gone = self.gone or self._transport.is_closing()
        return self.gone

    def abort(self) -> None:
        """Breaks the connection at once; what waits to be sent is dropped."""
        self._transport.abort()

    def unwatch(self) -> None:
        """Forgets the callbacks."""
        self._on_change = self._on_probe = None

    def probe(self) -> bool:
        """Writes something, if only a comment: a client that is gone answers by a reset. False if not watched."""
        if self._on_probe is None:
            return False
        self._on_probe()
        return True

    def changed(self, *, full: bool | None = None, gone: bool = False) -> None:
        """Called by the protocol when its connection is full, has drained, or is gone."""
        self.drains += full is False
        self.full = self.full if full is None else full
        self.gone = self.gone or gone
        if self._on_change is not None:
            self._on_change()


def extensions(wire: object, app: object) -> dict[str, Any]:
    """The ASGI extensions of a connection with this wire.

    An application whose class says `detaches` may detach its answers where the server itself calls it, and no other
    around it may, nor a subclass that does not say so itself: its call may do more once the answer is over.
    """
    detach: dict[str, Any] = {DETACH: {}} if type(app).__dict__.get("detaches") else {}
    return {EXTENSION: wire, **detach}


def chunk(body: bytes) -> bytes:
    """The body, which is not empty, as an HTTP chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def _as_it_is(body: bytes) -> bytes:
    return body


def wire_of(scope: MutableMapping[str, Any]) -> Wire | None:
    """The wire of a request, if its server has one."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return extensions.get(EXTENSION)
