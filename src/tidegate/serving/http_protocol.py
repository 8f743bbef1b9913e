"""uvicorn's HTTP protocol with the limits it lacks: on the size of heads, and on the time a request may take to arrive.

Input that cannot become a request is answered here, with the same typed errors as everywhere else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidegate.core.connection import TURNED_AWAY
from tidegate.core.request_id import make_request_id, sent_request_id
from tidegate.errors import HeadersTooLarge, MalformedHttp, Overloaded, RequestTimeout, TidegateError
from tidegate.serving.backlog import Backlog, is_one_head
from tidegate.serving.budget import Budget
from tidegate.serving.early_answer import SKIP_BYTES, came_whole, close_if_early
from tidegate.serving.guest import FULL, Guest
from tidegate.serving.half_close import HalfClosed, probe
from tidegate.serving.http_answer import answer, start
from tidegate.serving.http_flow import Flow
from tidegate.serving.http_framing import body_length, new_parser
from tidegate.serving.http_refusal import head_without_upgrade, refusal
from tidegate.serving.pipeline import WAITING_BYTES, Pipeline
from tidegate.serving.request_meters import BodyMeter, HeadMeter
from tidegate.serving.request_target import origin_form, path_of
from tidegate.serving.small_buffers import lighten
from tidegate.serving.upgrade import asks_for_websocket
from tidegate.serving.wire import Wire, extensions
from tidegate.serving.ws_on_demand import MakeSocket

LINGER_SECONDS = 2.0
"""How long a refused client's further bytes are read and dropped. Closing at once, with bytes unread, would send a
reset, and a reset may destroy the answer before the client has read it (RFC 9112, 9.6)."""

PIECES_AT_ONCE = 4
"""How many pieces are parsed as they arrive. Nearly every request is one or two; the rest waits for its turn."""


def http_protocol(
    max_header_bytes: int,
    request_timeout_seconds: float,
    *,
    budget: Budget | None = None,
    socket_path: str | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> type[LimitedHttpProtocol]:
    """The protocol class for `uvicorn.Config(http=…, ws=…)`, with these limits; all connections share the budget.

    Answers may be detached (`extensions`). WebSockets are handed over to a class of `ws_protocol`; with `ws="none"`
    there are none. Only `socket_path` upgrades (None: every path does): others answer as if it had not been asked for.
    """
    limits = {
        "max_header_bytes": max_header_bytes,
        "request_timeout_seconds": request_timeout_seconds,
        "budget": budget or Budget(),
        "socket_path": socket_path,
        "random_bytes": staticmethod(random_bytes),
    }
    return type("LimitedHttpProtocol", (LimitedHttpProtocol,), limits)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection.

    The request line and the fields, and likewise the trailer, may have `max_header_bytes`: 431. From its first byte
    on a request has `request_timeout_seconds` to arrive whole: 408, unless its answer has begun. A connection that
    sends nothing, or only empty lines, is closed after the same time without a word. What is no HTTP: 400.

    What has been read is parsed in pieces. Where it is more than can be parsed at once, or than may wait for answers,
    nothing is read until it is parsed.
    """

    max_header_bytes: int = 65536
    request_timeout_seconds: float = 30.0
    budget: Budget = Budget()
    socket_path: str | None = None
    random_bytes: Callable[[int], bytes] = staticmethod(os.urandom)

    # Slots keep the instance's dict below thirty attributes: up to there CPython shares the names among instances.
    # fmt: off
    __slots__ = (
        "_backlog", "_body", "_flow", "_guest", "_half_closed", "_head_complete", "_in_turn", "_meter", "_receiving",
        "_refused", "_running", "_socket", "_timer", "_unsent", "_waiting", "_wire",
    )
    # fmt: on

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pipeline = self._waiting = Pipeline()  # type: ignore[assignment]
        self._receiving = False  # a request has begun and is not complete
        self._head_complete = False  # self.cycle belongs to that request
        self._body = BodyMeter()
        self._meter = HeadMeter(self.max_header_bytes)
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # the one being answered
        self._half_closed: HalfClosed | None = None  # by its client
        self._socket: asyncio.Protocol | None = None  # the protocol that has taken over
        self._backlog = Backlog()
        self._in_turn = False  # `budget.turns` will call for the next piece
        self._unsent = 0  # bytes waiting to be sent, while writing is paused

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._flow = Flow(transport)
        lighten(self.flow._is_writable_event)  # pyright: ignore[reportPrivateUsage]
        self._guest = Guest(self, self.budget, self.client[0] if self.client else "")
        self._wire = Wire(transport, self._guest)
        self._guest.come_in(len(self.connections), transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._guest.leave()
        self._backlog.clear()
        if self._half_closed is not None:
            self._half_closed.stop()
        super().connection_lost(exc)
        if self._running is not None:
            # uvicorn tells only the newest request, which may be waiting behind this one.
            self._disconnect(self._running)
        self._wire.changed(gone=True)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open: requests that have arrived whole are answered (RFC 9112, 9.6).

        It does not where this server does TLS: asyncio's TLS transports cannot be half-closed.
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
        self._unsent = self.transport.get_write_buffer_size()
        self._account()
        self._wire.changed(full=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent = 0
        self._account()
        self._wire.changed(full=False)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refused:
            self._drop()
            return
        if is_one_head(data) and not (self._backlog.data or self._waiting or self._receiving or self._socket):
            # The usual case: nothing has to wait.
            self._feed(data)
        else:
            self._backlog.add(data)
            for _ in range(PIECES_AT_ONCE):
                if not self._parse_piece():
                    break
        self._settle()

    def shutdown(self) -> None:
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope = cast("dict[str, Any]", self.scope)
        scope["extensions"] = extensions(self._wire, self.config.app)
        if self._guest.turned_away is not None:
            scope[TURNED_AWAY] = self._guest.turned_away
        self._receiving = True
        self._head_complete = False
        self._meter.begin()
        self._stop_timer()

    def on_url(self, url: bytes) -> None:
        self._meter.add(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._meter.add_field(name, value)
        # A trailer must not be taken for part of the head (RFC 9110, 6.5.1).
        if not self._head_complete:
            # The white space around a value is no part of it (RFC 9112, 5.1).
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        self._meter.reported = True
        version = self.parser.get_http_version()
        if not self.url.startswith(b"/"):
            self.url, self.headers[:] = origin_form(self.url, self.headers, version)
        self._body.begin(body_length(self.headers, version))
        if self.parser.should_upgrade():
            return
        if version != "1.1":
            # Clients before HTTP/1.1 do not know status 100 (RFC 9110, 10.1.1 and 15.2).
            self.expect_100_continue = False
        super().on_headers_complete()
        if self._waiting and not self._waiting.is_full:
            self.flow.resume_reading()
        lighten(self.cycle.message_event)
        self._head_complete = True
        self._meter.begin()
        if self.expect_100_continue or self._guest.turned_away is not None:
            # After a refusal the client may send the body or not (RFC 9110, 10.1.1): what follows cannot be told apart.
            self.cycle.keep_alive = False
        if self._body.left is None or self._body.left > SKIP_BYTES:
            close_if_early(self.cycle, self.transport, self._linger)

    def on_body(self, body: bytes) -> None:
        self._meter.reported = True
        self._body.add(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._meter.reported = True
        if not self._head_complete:
            return
        self._receiving = False
        self._body.end()
        came_whole(self.cycle, self.transport)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._backlog.data or self._guest.size or self._guest.is_counted:
            self._go_on()
            if self._guest.is_one_too_many:
                self.transport.close()

    # What has been read

    def _parse_piece(self) -> bool:
        """Parses the next piece, if there is one and it may be parsed. Returns whether it did."""
        if not self._backlog.data or not self._may_parse():
            return False
        if self._head_complete and self._receiving and self._body.left:
            piece = self._backlog.take(min(self._body.left, WAITING_BYTES) if self._waiting else self._body.left)
            self._body.left -= len(piece)
        else:
            piece = self._backlog.take_head()
        self._feed(piece)
        return True

    def _may_parse(self) -> bool:
        if self._refused or self._socket is not None or self.transport.is_closing():
            return False
        if self._head_complete and self._receiving:
            return not (self._waiting and self._waiting.is_heavy)
        return not (self._waiting and self._waiting.is_full)

    def _settle(self) -> None:
        if not self._refused and self._socket is None:
            self._go_on()
            self._watch()

    def _go_on(self) -> None:
        """Schedules the parsing of the backlog, pauses reading until it is empty, and updates the budget."""
        if self._backlog.data:
            self._flow.hold()
            if not self._in_turn and self._may_parse():
                self._in_turn = True
                self.budget.turns.ask(self._turn)
        elif self._flow.held:
            self._flow.release()
        if self._guest.size or self._receiving or self._backlog.data:
            self._account()
        if self._guest.is_counted:
            self._guest.idle(not self._is_served())

    def _turn(self) -> bool:
        more = self._in_turn = self._parse_piece() and bool(self._backlog.data) and self._may_parse()
        if not more:
            self._settle()
        return more

    def _feed(self, data: bytes) -> None:
        rest = self._parse(data)
        if rest:
            self._backlog.put_back(rest)
        if self._socket is not None and self._backlog:
            self._socket.data_received(self._backlog.clear())

    def _account(self) -> None:
        self._guest.hold(self._body.waiting + self._unsent + len(self._backlog))

    def give_way(self) -> None:
        """Frees the bytes that this connection holds: the budget for waiting bytes is exceeded."""
        if self._unsent:
            self.transport.abort()
        else:
            self._refuse(Overloaded(FULL))

    def _is_served(self) -> bool:
        """Whether a request that has arrived whole is being answered."""
        return self._answering() and not (self._head_complete and self._receiving and not self.pipeline)

    # Limits

    def _parse(self, data: bytes) -> bytes:
        """Gives `data` to the parser and returns the bytes to parse next."""
        self.parser = self.parser or new_parser(self)
        self._meter.reported = False
        try:
            self.parser.feed_data(data)
            self._meter.fed(len(data))
        except httptools.HttpParserUpgrade as exc:
            rest = data[exc.args[0] :]
            return self._to_socket(rest) if self._is_handshake() else self._without_upgrade(rest)
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            self._refuse(cause if isinstance(cause, TidegateError) else MalformedHttp("This is not valid HTTP/1.1."))
        except HeadersTooLarge as error:
            self._refuse(error)
        return b""

    def _is_handshake(self) -> bool:
        # A request behind unanswered ones is served without its upgrade, which RFC 9110, 7.8 allows.
        return (
            self.ws_protocol_class is not None
            and not self.pipeline
            and not self._answering()
            and self.socket_path in (None, path_of(self.url))
            and asks_for_websocket(self.parser.get_method(), self.parser.get_http_version(), self.headers)
        )

    def _to_socket(self, rest: bytes) -> bytes:
        """Hands the connection over if the handshake is valid. Returns the bytes after the head, to parse next."""
        # Imported with the first WebSocket, as in `ws_on_demand`.
        from tidegate.serving.ws_handshake import refusal_of, request_of

        make = cast("MakeSocket", self.ws_protocol_class)
        socket = make(config=self.config, server_state=self.server_state, app_state=self.app_state)
        request = request_of(self.url, self.headers)
        cause = socket.check(request)
        if cause is not None:
            self._refuse(refusal_of(cause))
            return b""
        self._stop_timer()
        self.flow.resume_reading()
        self._flow.release()
        self.connections.discard(self)
        self._socket = socket
        self.transport.set_protocol(socket)
        socket.connection_made(self.transport)
        socket.take_over(self._guest)
        socket.handle_connect(request)
        return rest

    def _without_upgrade(self, rest: bytes) -> bytes:
        """Serves the request without the upgrade (RFC 9110, 7.8), for which Java's client asks in every request.

        The parser has given up on the body of such a request: a new parser is given the head without `upgrade`.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(MalformedHttp("This server is not a proxy: it takes no CONNECT."))
            return b""
        head = head_without_upgrade(method, self.url, self.parser.get_http_version(), self.headers)
        self.parser = new_parser(self)
        return head + rest

    def _watch(self) -> None:
        """Keeps the timer running while a request, or the first byte of one, is waited for."""
        if not self._receiving and self._answering():
            self._stop_timer()
        elif self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        seconds = LINGER_SECONDS if self._guest.turned_away else self.request_timeout_seconds
        self._timer = self.loop.call_later(seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if self._receiving and self._flow.stopped:
            # Reading is paused: the delay is not the client's.
            self._start_timer()
        elif self._receiving:
            seconds = self.request_timeout_seconds
            late = RequestTimeout(f"The request did not arrive within {seconds:g} seconds.")
            self._refuse(self._guest.turned_away or late)
        else:
            self.transport.close()

    # Clients that have ended their side

    def _awaits_answers(self) -> bool:
        """Whether requests that have arrived whole are still to be answered. Drops an incomplete one after them."""
        if self._receiving and self._head_complete:
            if not self.pipeline:
                return False
            del self.pipeline[0]
            self.cycle = self.pipeline[0][0] if self.pipeline else cast("RequestResponseCycle", self._running)
        self._receiving = False
        return self._answering()

    def _probe(self) -> None:
        """Sends something harmless, to learn whether the client is still there."""
        cycle = cast("RequestResponseCycle", self._running)
        if not cycle.response_complete and not self._wire.probe():
            probe(cycle, self.transport)

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
        self._refused = self.budget.refuses(error)
        if not self._may_answer():
            self._backlog.clear()
            self.transport.close()
            return
        if self._answering():
            self._disconnect(self.cycle)
        request_id = self._request_id() or make_request_id(self.random_bytes(16))
        self.transport.write(refusal(error, request_id, self._guest.address, self.server_state.default_headers))
        self._drop_the_rest()

    def _linger(self) -> None:
        """Closes the connection after a complete answer, once the rest of the request, if any, has been dropped."""
        if self._receiving:
            self._stop_timer()
            self._refused = True
            self._drop_the_rest()
        else:
            self.transport.close()

    def _drop_the_rest(self) -> None:
        """Lets the client read its answer, and drops the bytes that it still sends."""
        self._backlog.clear()
        self._body.end()
        self._account()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._flow.release()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _drop(self) -> None:
        """Drops what was read, and pauses reading until this connection's turn to drop more."""
        self._flow.hold()
        self.budget.drops.ask(self._flow.release)

    def _request_id(self) -> str | None:
        if not self._receiving:
            return None
        return cast("dict[str, Any]", self.scope).get("tidegate.request_id") or sent_request_id(self.headers)

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        start(self.tasks, answer(app, cycle, self._wire, self))

    def break_off(self, cycle: RequestResponseCycle) -> None:
        """Breaks the answer off and closes the connection."""
        self._disconnect(cycle)
        self.transport.close()

    def rest(self) -> None:
        """A detached answer goes on: drops the parser, which takes 900 bytes, unless it is within a request."""
        if not (self._receiving or self._waiting or self._backlog.data):
            self.parser = cast("httptools.HttpRequestParser", None)

    def _disconnect(self, cycle: RequestResponseCycle) -> None:
        """Tells the application that its client is gone, and uvicorn to send nothing more."""
        cycle.disconnected = True
        cycle.message_event.set()
        self._wire.changed(gone=True)
