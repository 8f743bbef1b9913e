"""uvicorn's WebSocket protocol, with a direct wire, probes, its own limits, and typed refusals.

The sans-I/O core of `websockets` implements RFC 6455 itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Literal, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected as ServerClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from tidegate.core.close_code import (
    ABNORMAL,
    GOING_AWAY,
    HEARTBEAT_LOST,
    INVALID_DATA,
    NORMAL,
    POLICY,
    TOO_LARGE,
)
from tidegate.core.connection import TURNED_AWAY
from tidegate.core.detached import detached_of, forget_spent
from tidegate.core.request_id import make_request_id, sent_request_id
from tidegate.errors import Draining, Forbidden, InternalError, TidegateError
from tidegate.serving.budget import Budget
from tidegate.serving.guest import Guest
from tidegate.serving.long_body import LONG_BYTES
from tidegate.serving.request_meters import FREE_PIECES, PIECE_BYTES
from tidegate.serving.small_buffers import MessageQueue, lighten
from tidegate.serving.wire import extensions
from tidegate.serving.ws_closing import code_after, drop, tell_closed, tell_refused
from tidegate.serving.ws_cores import QUIET, Cores, is_at_rest
from tidegate.serving.ws_handshake import answer_of
from tidegate.serving.ws_heart import HeartRates, Liveness
from tidegate.serving.ws_incoming import Incoming
from tidegate.serving.ws_listening import Listening
from tidegate.serving.ws_message import Assembly, event_of, frame_of, is_content
from tidegate.serving.ws_pulse import Pulse
from tidegate.serving.ws_wire import Listener, SocketWire

MAX_MESSAGE_BYTES = 1048576
SEND_BUFFER_BYTES = 65536

CLOSE_SECONDS = 5.0
"""How long a client has, after the close frame, to close the connection too; then it is aborted. Bytes that still come
are read and dropped: closing with bytes unread would send a reset, which may destroy the close frame."""


def ws_protocol(
    *,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    send_buffer_bytes: int = SEND_BUFFER_BYTES,
    rates: HeartRates | None = None,
    budget: Budget | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> type[SocketProtocol]:
    """The protocol class for `uvicorn.Config(http=http_protocol(…), ws=…)`, with these limits.

    `max_message_bytes` limits one message; all connections share the budget.
    """
    limits = {
        "max_message_bytes": max_message_bytes,
        "send_buffer_bytes": send_buffer_bytes,
        "rates": rates or HeartRates(),
        "budget": budget or Budget(),
        "cores": Cores(),
        "random_bytes": staticmethod(random_bytes),
    }
    return type("SocketProtocol", (SocketProtocol,), limits)


class SocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket, from its handshake on, whose head `LimitedHttpProtocol` has read.

    It closes with the codes of RFC 6455: 1002 for a protocol error, 1007 for bad UTF-8, 1009 past `max_message_bytes`.
    What has been read is parsed a frame at a time, and reading pauses from each message until the application has
    received it. A client that is silent for too long is closed with 4408, and one that does not answer a close is
    aborted.
    """

    max_message_bytes: int = MAX_MESSAGE_BYTES
    send_buffer_bytes: int = SEND_BUFFER_BYTES
    rates: HeartRates = HeartRates()
    budget: Budget = Budget()
    cores: Cores = Cores()
    random_bytes: Callable[[int], bytes] = staticmethod(os.urandom)

    # Some are uvicorn's attributes, used or not: with more than thirty in its dict, an instance would hold a copy of
    # their names.
    __slots__ = (
        "_assembly",
        "_backlog",
        "_core",
        "_guest",
        "_in_turn",
        "_listening",
        "_pulse",
        "_queued",
        "_wire",
        "curr_msg_data_type",
        "frames",
        "handshake_initiated",
        "last_ping_rtt",
        "pending_ping_payload",
        "ping_interval",
        "ping_sent_at",
        "ping_timeout",
        "ping_timer",
        "pong_timer",
        "request",
        "response",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._core: ServerProtocol | None = None
        super().__init__(*args, **kwargs)
        self.logger = QUIET
        self.queue: MessageQueue[ASGIReceiveEvent] = MessageQueue()  # type: ignore[assignment]
        lighten(self.writable)
        self._assembly = Assembly()
        self._pulse: Pulse | None = None  # from the handshake on
        self._backlog = Incoming(self.max_message_bytes)
        self._in_turn = False  # `budget.turns` will call for the next frame
        self._queued = 0  # bytes of long messages that the application has not received
        self._listening: Listening | None = None  # where the application has returned

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = cast("dict[str, Any]", self.scope)
        scope["extensions"] |= extensions(self._wire, self.config.app)
        if self._guest.turned_away is not None:
            scope[TURNED_AWAY] = self._guest.turned_away

    def take_over(self, guest: Guest) -> None:
        """Takes the connection over from HTTP. Until its caller is known, it counts for its address."""
        self._guest = guest
        self._wire.keep = guest.keep
        guest.host = self
        guest.idle(True)

    @property
    def conn(self) -> ServerProtocol:  # type: ignore[override]
        """The core that parses and builds this socket's frames: borrowed, while it is at rest."""
        if self._core is None:
            self._core = self.cores.lend(self.max_message_bytes)
        return self._core

    @conn.setter
    def conn(self, core: ServerProtocol) -> None:
        # uvicorn makes one for each connection. Its parser and it would keep each other until a garbage collection.
        core.parser.close()

    def _rest(self) -> None:
        """Gives the core back between two frames."""
        core = self._core
        if core is not None and not self._backlog.is_within_frame and is_at_rest(core):
            self._core = None
            self.cores.give_back(core)

    def check(self, request: Request) -> Exception | None:
        """The error in a handshake; None if it is valid."""
        # The head has been parsed already: a core begins behind it.
        self.conn.state = State.CONNECTING
        self.conn.accept(request)
        return self.conn.handshake_exc

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=self.send_buffer_bytes)
        self._wire = SocketWire(self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._guest.leave()
        self._backlog.clear()
        self._wire.changed(gone=True)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wire.changed(full=True)
        self._account()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wire.changed(full=False)
        self._account()
        if self._pulse is not None:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._wire.gone:
            drop(self.transport, self.budget.drops)
            return
        self._backlog.add(data)  # reading stays paused until it is empty
        if self._pulse is None:
            # A client may send before it is accepted: the bytes wait until then.
            self.transport.pause_reading()
            return
        self._pulse.heard()
        self._feed()
        self._go_on()

    def shutdown(self) -> None:
        self.stop_keepalive()
        if self.close_sent:
            self.transport.close()
        elif self.handshake_complete:
            self._close(GOING_AWAY, "draining")
        else:
            self._refuse(Draining("This server is about to stop."))

    # What is received

    def _feed(self) -> bool:
        """Parses the next frame, or what there is of it. Returns whether more may be parsed."""
        if self._wire.gone or self._wire.full or self.read_paused or not self._backlog:
            return False
        if self._assembly.pieces and self._backlog.skip_empty():
            # An empty fragment changes nothing; skipping it takes a tenth of the time of parsing it.
            self._assembly.pieces += 1
            self._check_pieces()
        elif (piece := self._backlog.take_frame(len(self._assembly))) is None:
            self.conn.fail(TOO_LARGE, f"a message has at most {self._backlog.most} bytes")
            self._failed()
        else:
            self._parse(piece)
        return not self._wire.gone and not self.read_paused

    def _parse(self, piece: bytes) -> None:
        self.conn.receive_data(piece)
        self.handle_events()
        if self.conn.parser_exc is not None:
            self._failed()
        self._rest()
        self._account()

    def _check_pieces(self) -> None:
        if self._assembly.pieces > FREE_PIECES + len(self._assembly) // PIECE_BYTES:
            self.conn.fail(POLICY, "a message in too many pieces that are too small")
            self._failed()

    def _go_on(self) -> None:
        """Schedules the parsing of the backlog, and pauses reading until it is empty."""
        if self._wire.gone or self.read_paused:
            return
        if self._wire.full:
            # Pings are answered at once: their pongs would pile up for a client that does not read.
            self.transport.pause_reading()
        elif self._backlog:
            self.transport.pause_reading()
            if not self._in_turn:
                self._in_turn = True
                self.budget.turns.ask(self._turn)
        else:
            self.transport.resume_reading()

    def _turn(self) -> bool:
        more = self._in_turn = self._feed() and bool(self._backlog)
        if not more:
            self._go_on()
        return more

    # The bytes it holds

    def _account(self) -> None:
        """Tells the budget of the bytes held here: unparsed, in unfinished or unreceived messages, and unsent."""
        unsent = self.transport.get_write_buffer_size() if self._wire.full else 0
        unparsed = len(self._backlog) + (0 if self._core is None else len(self._core.reader.buffer))
        self._guest.hold(unparsed + len(self._assembly) + self._queued + unsent)

    def give_way(self) -> None:
        """Frees the bytes that this connection holds: the budget for waiting bytes is exceeded."""
        if self._wire.full:
            self.transport.abort()
        else:
            self._close(GOING_AWAY, "overloaded")

    def known(self) -> None:
        """The caller is known: the connection no longer counts for its address."""
        self._guest.idle(False)

    def hear(self, most: int | None) -> None:
        """Limits the next messages to `most` bytes each; None: to `max_message_bytes`."""
        self._backlog.most = self.max_message_bytes if most is None else most

    def handle_text(self, event: Frame) -> None:
        self._take(event, "text")

    def handle_bytes(self, event: Frame) -> None:
        self._take(event, "bytes")

    def handle_cont(self, event: Frame) -> None:
        self._take(event, None)

    def handle_ping(self) -> None:
        self._flush()

    def handle_close(self, event: Frame) -> None:
        close = self.conn.close_rcvd
        if close is not None and not self._wire.gone:
            self._end(close.code, close.reason)

    def _take(self, event: Frame, begins: Literal["text", "bytes"] | None) -> None:
        if self._wire.gone:
            return
        try:
            message = self._assembly.add(cast("bytes", event.data), begins=begins, fin=event.fin)
        except UnicodeDecodeError as error:
            self.conn.fail(INVALID_DATA, error.reason)
            self._failed()
            return
        finally:
            # The parser keeps the last frame until the next one comes.
            event.data = b""
        if message is not None:
            self._received(message)
        else:
            self._check_pieces()

    def _received(self, message: str | bytes) -> None:
        self.queue.put_nowait(event_of(message))
        if len(message) > LONG_BYTES:
            self._queued += len(message)
            self._account()
        if self._pulse is not None:
            self._pulse.message()
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _failed(self) -> None:
        close = self.conn.close_sent
        if close is not None and not self._wire.gone:
            tell_closed(close.code, close.reason, self._guest, self._request_id)
            self._end(close.code, close.reason)

    # The heartbeats

    def start_keepalive(self) -> None:
        """Starts the heartbeats. uvicorn calls this once the handshake is done."""
        del self.request, self.response
        self._pulse = Pulse(self, self.rates, self.budget.beats)
        if self._backlog:
            self._go_on()

    def stop_keepalive(self) -> None:
        """Stops the heartbeats. uvicorn calls this when the connection ends."""
        if self._pulse is not None:
            self._pulse.stop()

    @property
    def is_unread(self) -> bool:
        # A client that does not read what is sent to it is to be probed nevertheless.
        return self.read_paused and not self._wire.full

    def lives(self, liveness: Liveness) -> None:
        self._wire.lives(liveness)

    def ping(self) -> None:
        self.conn.send_ping(b"")
        self._flush()

    def lost(self) -> None:
        self._close(HEARTBEAT_LOST, "heartbeat lost")

    # What the application calls

    async def run_asgi(self) -> None:
        scope = cast("dict[str, Any]", self.scope)
        try:
            await self.app(self.scope, self.receive, self.send)  # type: ignore[arg-type]
        except (Exception, asyncio.CancelledError) as error:
            # A cancelled task is over either way, and uvicorn would log a traceback.
            self._over(scope, error)
        else:
            if (detached := detached_of(scope)) is None:
                self._over(scope, None)
            else:
                detached.then(self._over)
                forget_spent(scope)
                self.server = self.client = None

    def listen(self, listener: Listener) -> None:
        """The `Ear`'s: `listener` answers for the application, which returns."""
        self._listening = Listening(self, listener)

    def failed(self, error: BaseException) -> None:
        self._leave(code_after(error))
        self.queue.drop(is_content)

    def _over(self, _: object, error: BaseException | None) -> None:
        """The last step, detached or not."""
        if self._listening is not None:
            self._listening.stop()
            self._listening = None
        self._leave(code_after(error))

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self._queued and self.queue.empty():
            self._queued = 0
            self._account()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._go_on()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Raises an `OSError` once the socket is closed. A close frame does not wait for a full connection to drain."""
        if message["type"] == "websocket.close" and self.handshake_complete and self.initial_response is None:
            if not self._wire.gone:
                self._close(message.get("code") or NORMAL, message.get("reason") or "")
            return
        await self.writable.wait()
        if self._wire.gone:
            raise ServerClientDisconnected
        if message["type"] == "websocket.close" and not self.handshake_complete and self.initial_response is None:
            self._refuse(Forbidden("This WebSocket was not accepted."))
            return
        if message["type"] == "websocket.send" and self._pulse is not None:
            self.transport.write(frame_of(message))
            return
        await super().send(message)
        self._rest()
        if self.close_sent:
            self._ended()

    # How it ends

    def _leave(self, code: int) -> None:
        """The application has ended."""
        if self._wire.gone:
            return
        if self.handshake_complete:
            self._close(code)
        elif self.initial_response is None:
            self._refuse(InternalError("The server failed to answer this request."))
        else:
            self.transport.close()

    def _close(self, code: int, reason: str = "") -> None:
        if not self._wire.gone:
            tell_closed(code, reason, self._guest, self._request_id)
            self.conn.send_close(code, reason)
            self._end(code, reason)

    def _refuse(self, error: TidegateError) -> None:
        sent = sent_request_id(list(self.scope["headers"]))
        request_id = self._request_id or sent or make_request_id(self.random_bytes(16))
        tell_refused(error, self._guest, request_id)
        self.conn.send_response(answer_of(error, request_id, self.default_headers))
        self.handshake_complete = True
        self._end(ABNORMAL, "")

    @property
    def _request_id(self) -> str | None:
        return cast("dict[str, Any]", self.scope).get("tidegate.request_id")

    def _end(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._flush()
        self._ended()

    def _ended(self) -> None:
        """The close frame has been sent: marks the wire as gone, and gives the client time to close."""
        self.close_sent = True
        self.stop_keepalive()
        self._backlog.clear()
        self._wire.changed(gone=True)
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
        if not self.transport.is_closing():
            # From here on the transport refuses all writes.
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.read_paused = False
            self.transport.resume_reading()

    def _flush(self) -> None:
        output = b"".join(self.conn.data_to_send())
        if output and not self.transport.is_closing():
            self.transport.write(output)
        self._rest()
