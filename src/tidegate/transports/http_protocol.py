"""uvicorn's HTTP protocol with the limits it lacks: on the size of heads, and on the time a request may take to arrive.

What cannot become a request is answered here, with the same typed errors as everywhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tidegate.core.connection import ResponseAborted
from tidegate.core.error_response import error_response
from tidegate.core.request_id import make_request_id, sent_request_id
from tidegate.errors import HeadersTooLarge, MalformedHttp, RequestTimeout, TidegateError
from tidegate.transports.half_close import BegunAnswer, HalfClosed
from tidegate.transports.light import lighten
from tidegate.transports.target import origin_form
from tidegate.transports.until_close import UntilClose
from tidegate.transports.wire import EXTENSION, Wire
from tidegate.transports.ws_handshake import asks_for_websocket, refusal_of, request_of
from tidegate.transports.ws_protocol import SocketProtocol

LINGER_SECONDS = 2.0
"""How long what a refused client still sends is read and dropped. Closing at once, with bytes unread, would send a
reset, and a reset may destroy the answer before the client has read it (RFC 9112, 9.6)."""

MOST_WAITING = 4
"""Pipelined requests for which a connection is read on. One that is not read does not see its client leave."""

MAX_HEADER_BYTES = 65536
REQUEST_TIMEOUT_SECONDS = 30.0

log = logging.getLogger("tidegate.http")


def http_protocol(
    max_header_bytes: int,
    request_timeout_seconds: float,
    *,
    socket_path: str | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> type[LimitedHttpProtocol]:
    """The protocol class for `uvicorn.Config(http=…, ws=…)`, with these limits.

    WebSockets are handed over to a class of `ws_protocol`; with `ws="none"` there are none. `socket_path` is the only
    path that speaks it: others answer as if no upgrade had been asked for. None: any may.
    """
    limits = {
        "max_header_bytes": max_header_bytes,
        "request_timeout_seconds": request_timeout_seconds,
        "socket_path": socket_path,
        "random_bytes": staticmethod(random_bytes),
    }
    return type("LimitedHttpProtocol", (LimitedHttpProtocol,), limits)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection.

    The request line and the fields, and likewise the trailer, may have `max_header_bytes`: 431. From its first byte
    on a request has `request_timeout_seconds` to arrive whole: 408, unless its answer has begun. A connection that
    sends nothing, or only empty lines, is closed after the same time without a word. What is no HTTP: 400.
    """

    max_header_bytes: int = MAX_HEADER_BYTES
    request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    socket_path: str | None = None
    random_bytes: Callable[[int], bytes] = staticmethod(os.urandom)

    # With them uvicorn's attributes stay below the thirty of which CPython keeps the names only once.
    __slots__ = (
        "_fields_bytes",
        "_half_closed",
        "_head_complete",
        "_receiving",
        "_refused",
        "_reported",
        "_running",
        "_silent_bytes",
        "_socket",
        "_timer",
        "_wire",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pipeline = _Pipeline()  # type: ignore[assignment]
        self._receiving = False  # a request has begun and is not here whole
        self._head_complete = False  # self.cycle is that request's
        self._fields_bytes = 0  # parsed into the request line and fields of this request
        self._silent_bytes = 0  # fed to the parser since it last reported anything of worth
        self._reported = False
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # is being answered
        self._half_closed: HalfClosed | None = None  # by its client
        self._socket: SocketProtocol | None = None  # has taken over

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        lighten(self.flow._is_writable_event)  # pyright: ignore[reportPrivateUsage]
        self._wire = Wire(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._half_closed is not None:
            self._half_closed.stop()
        super().connection_lost(exc)
        if self._running is not None:
            # uvicorn tells only the newest request, which may be waiting behind this one.
            self._disconnect(self._running)
        self._wire.changed(gone=True)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open: what has arrived whole is answered (RFC 9112, 9.6).

        Where TLS is ended here it is not: asyncio's transports of it know no halves.
        """
        if self.scheme == "https" or self._refused or not self._awaits_answers():
            return False
        self._stop_timer()
        # After its answer the connection is closed.
        self.cycle.keep_alive = False
        if self._half_closed is None:
            self._half_closed = HalfClosed(self.transport, self._probe)
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wire.changed(full=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wire.changed(full=False)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        # The parser keeps an incomplete field to itself: fed in pieces, it never keeps more than twice the limit.
        for start in range(0, len(data), self.max_header_bytes):
            if self._refused or self.transport.is_closing():
                return
            self._feed(data[start : start + self.max_header_bytes])
        if not self._refused and self._socket is None:
            self._watch()

    def shutdown(self) -> None:
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {EXTENSION: self._wire}
        self._receiving = True
        self._head_complete = False
        self._fields_bytes = 0
        self._stop_timer()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        # A trailer must not be taken for part of the head (RFC 9110, 6.5.1).
        if not self._head_complete:
            # The white space around a value is no part of it (RFC 9112, 5.1).
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        self._reported = True
        if not self.url.startswith(b"/"):
            self.url, self.headers[:] = origin_form(self.url, self.headers)
        if self.parser.should_upgrade():
            return
        if self.parser.get_http_version() != "1.1":
            # Clients before HTTP/1.1 know nothing of it (RFC 9110, 10.1.1 and 15.2).
            self.expect_100_continue = False
        super().on_headers_complete()
        if 0 < len(self.pipeline) < MOST_WAITING:
            self.flow.resume_reading()
        lighten(self.cycle.message_event)
        self._head_complete = True
        self._fields_bytes = 0
        if self.expect_100_continue:
            # After a refusal the client may send the body or not (RFC 9110, 10.1.1): what follows is past telling.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._reported = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reported = True
        if not self._head_complete:
            return
        self._receiving = False
        super().on_message_complete()

    # Limits

    def _feed(self, data: bytes) -> None:
        while data and not self._refused and self._socket is None:
            data = self._parse(data)
        if data and self._socket is not None:
            self._socket.data_received(data)

    def _parse(self, data: bytes) -> bytes:
        """Gives `data` to the parser and returns what is to be given to it next."""
        self._reported = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            rest = data[exc.args[0] :]
            return self._to_socket(rest) if self._is_handshake() else self._without_upgrade(rest)
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            self._refuse(cause if isinstance(cause, TidegateError) else MalformedHttp("This is not valid HTTP/1.1."))
            return b""
        self._silent_bytes = 0 if self._reported else self._silent_bytes + len(data)
        if self._silent_bytes > self.max_header_bytes:
            self._refuse(self._too_large())
        return b""

    def _count(self, size: int) -> None:
        self._fields_bytes += size
        if self._fields_bytes > self.max_header_bytes:
            raise self._too_large()

    def _too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"The request line and the headers are larger than {self.max_header_bytes} bytes.")

    def _is_handshake(self) -> bool:
        # What has to wait for answers to earlier requests goes on without its upgrade, as it may (RFC 9110, 7.8).
        return (
            self.ws_protocol_class is not None
            and not self.pipeline
            and not self._answering()
            and self.socket_path in (None, unquote(self.url.partition(b"?")[0].decode("latin-1")))
            and asks_for_websocket(self.parser.get_method(), self.parser.get_http_version(), self.headers)
        )

    def _to_socket(self, rest: bytes) -> bytes:
        """Hands the connection over, once its handshake is known to be right; what follows the head goes with it."""
        make = cast("type[SocketProtocol]", self.ws_protocol_class)
        socket = make(config=self.config, server_state=self.server_state, app_state=self.app_state)
        request = request_of(self.url, self.headers)
        cause = socket.check(request)
        if cause is not None:
            self._refuse(refusal_of(cause))
            return b""
        self._stop_timer()
        self.connections.discard(self)
        self._socket = socket
        self.transport.set_protocol(socket)
        socket.connection_made(self.transport)
        socket.handle_connect(request)
        return rest

    def _without_upgrade(self, rest: bytes) -> bytes:
        """Goes on as if no upgrade had been asked for (RFC 9110, 7.8), as Java's client does with every request.

        The parser has given up on the body of such a request: another one is given the head without `upgrade`.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(MalformedHttp("This server is not a proxy: it takes no CONNECT."))
            return b""
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return b"\r\n".join([*lines, b"", rest])

    def _watch(self) -> None:
        """Keeps the timer running while a request, or the first byte of one, is waited for."""
        if not self._receiving and self._answering():
            self._stop_timer()
        elif self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.request_timeout_seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if self._receiving and self.flow.read_paused:
            # The client would send on if it were let.
            self._start_timer()
        elif self._receiving:
            seconds = self.request_timeout_seconds
            self._refuse(RequestTimeout(f"The request did not arrive within {seconds:g} seconds."))
        else:
            self.transport.close()

    # Clients that have ended their side

    def _awaits_answers(self) -> bool:
        """Whether requests that have arrived whole are still to be answered; half of one that follows is dropped."""
        if self._receiving and self._head_complete:
            if not self.pipeline:
                return False
            del self.pipeline[0]
            self.cycle = self.pipeline[0][0] if self.pipeline else cast("RequestResponseCycle", self._running)
        self._receiving = False
        return self._answering()

    def _probe(self) -> None:
        """Sends something that does no harm, to learn whether the client is still there."""
        cycle = cast("RequestResponseCycle", self._running)
        if cycle.response_complete or self._wire.probe():
            return
        if not cycle.response_started:
            if not isinstance(cycle.transport, BegunAnswer):
                cycle.transport = cast("asyncio.Transport", BegunAnswer(self.transport))
            cast("BegunAnswer", cycle.transport).probe()
        elif cycle.chunked_encoding:
            # The next chunk's size may begin with zeros (RFC 9112, 7.1), of which a heartbeat is the next but few.
            self.transport.write(b"0")

    # Refusals

    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _may_answer(self) -> bool:
        """Whether the next bytes to go out are the answer to the request that is being received."""
        if self.pipeline:
            return False
        if self._head_complete and self._receiving:
            return not self.cycle.response_started
        return not self._answering()

    def _refuse(self, error: TidegateError) -> None:
        self._stop_timer()
        self._refused = True
        if not self._may_answer():
            self.transport.close()
            return
        if self._answering():
            self._disconnect(self.cycle)
        self.transport.write(self._refusal(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _refusal(self, error: TidegateError) -> bytes:
        request_id = self._request_id() or make_request_id(self.random_bytes(16))
        log.info("%s: %s", error.code, error.message, extra={"fields": {"request_id": request_id}})
        status, headers, body = error_response(error, request_id)
        headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % field for field in self.server_state.default_headers + headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])

    def _request_id(self) -> str | None:
        if not self._receiving:
            return None
        known: str | None = cast("dict[str, Any]", self.scope).get("tidegate.request_id")
        return known or sent_request_id(self.headers)

    # Answers that break

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        until_close = None if cycle.scope["http_version"] == "1.1" else UntilClose(cycle)
        self._running = cycle

        async def run(scope: Any, receive: Any, send: Any) -> None:
            self._wire.begin(cycle, until_close)
            try:
                await app(scope, receive, until_close or send)
                if self.transport.is_closing():
                    # Its client is gone: that the answer has no end is nobody's mistake.
                    cycle.disconnected = True
            except (ResponseAborted, asyncio.CancelledError):
                # uvicorn would log a traceback of what has been observed, or is no error: a stop that cannot wait.
                self._disconnect(cycle)
                self.transport.close()
            finally:
                self._wire.end(cycle)

        super()._start_asgi_task(cycle, run)

    def _disconnect(self, cycle: RequestResponseCycle) -> None:
        """Makes the application see that its client is gone, and uvicorn that nothing more is to be sent."""
        cycle.disconnected = True
        cycle.message_event.set()
        self._wire.changed(gone=True)


class _Pipeline(list[Any]):
    """Requests that wait for their turn, the next one last; a deque is larger than the rest of a connection's state."""

    def appendleft(self, item: Any) -> None:
        self.insert(0, item)
