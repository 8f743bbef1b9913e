"""One HTTP/1.1 connection to a server, which hands each response on as it is read (RFC 9112).

The body's bytes go to the receiver inside `data_received`, one call per read, without a queue or a task switch. Only
bytes beyond `TURN_BYTES` wait for the next turns of the loop.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import NamedTuple, Protocol, cast

import httptools

from tidegate.http_client.chunk import sole_chunk
from tidegate.http_client.errors import BrokenOff, ClosedUnanswered, HttpError, MalformedResponse, TooLarge

MAX_OVERHEAD_BYTES = 65_536
"""How much may arrive without a byte of body: heads, chunk extensions, trailers. Servers send 1 to 8 KiB of these."""


TURN_BYTES = 16_384
"""How much of a read is handled in one turn of the loop. A read may bring 256 KiB, which is 0.1 s of work if they are
tiny events; this much is some 6 ms. Tokens come in reads of a few hundred bytes."""


class ResponseHead(NamedTuple):
    """A response's status and headers; names in lower case, repeated ones joined by commas (RFC 9110, 5.3)."""

    status: int
    headers: dict[str, str]


class Receiver(Protocol):
    """Receives a response. No method may wait; an exception from one ends the exchange with `closed`."""

    def answered(self, head: ResponseHead) -> None:
        """The final head has been read."""
        ...

    def receive(self, data: bytes) -> None:
        """All the body that one read brought."""
        ...

    def closed(self, error: Exception | None) -> None:
        """Called once: the body is complete (None), or has failed, by an `HttpError` or what this receiver raised."""
        ...


class ClientConnection(asyncio.Protocol):
    """Carries one exchange at a time; `send` begins it, `abort` gives it up.

    `over` is called when a response is over, after its receiver, and when the connection is lost. `complete`: the
    response has been read to its end.
    """

    __slots__ = (
        "__weakref__",
        "_after_chunk",
        "_announced",
        "_between_chunks",
        "_body",
        "_context",
        "_head",
        "_headers",
        "_keep_alive",
        "_loss",
        "_overhead",
        "_parser",
        "_paused",
        "_receiver",
        "_rest",
        "_transport",
        "_turn",
        "_until_close",
        "complete",
        "over",
    )

    def __init__(self) -> None:
        self.over: Callable[[ClientConnection], None] = lambda _: None
        self.complete = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._receiver: Receiver | None = None
        self._context = Context()
        self._headers: dict[str, str] = {}
        self._head: ResponseHead | None = None
        self._announced = False
        self._body: list[bytes] = []
        self._overhead = 0
        self._until_close = False
        self._keep_alive = False
        self._after_chunk = False
        self._between_chunks = False
        self._paused = False
        # Bytes that wait for the next turn, and the loss of the connection, which is reported after them.
        self._rest = b""
        self._turn: asyncio.Handle | None = None
        self._loss: tuple[Exception | None] | None = None

    @property
    def persistent(self) -> bool:
        """Whether another request may follow once the response is complete (RFC 9112, 9.3)."""
        if self._transport is None or self._transport.is_closing():
            return False
        return self._keep_alive and not self._paused and not self._rest

    def readable(self) -> bool:
        """Whether bytes, or the end of the connection, have come that the event loop has not read yet."""
        assert self._transport is not None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def send(self, request: bytes, receiver: Receiver) -> None:
        """Sends a whole request; the response, or why there is none, goes to `receiver`."""
        self._receiver = receiver
        # Reads come in the context in which the connection was opened, which was for another request.
        self._context = copy_context()
        self.complete = False
        self._head = None
        self._announced = False
        self._overhead = 0
        self._until_close = False
        self._keep_alive = False
        self._after_chunk = self._between_chunks = False
        if self._transport is None or self._transport.is_closing():
            self._finish(ClosedUnanswered("closed the connection"))
        else:
            self._transport.write(request)

    def pause(self) -> None:
        """Stops reading, so that TCP slows the server down."""
        self._paused = True
        self._stop_reading()

    def resume(self) -> None:
        """Reads again."""
        self._paused = False
        self._go_on()

    def abort(self) -> None:
        """Closes at once, without waiting. The receiver is not called any more."""
        self._receiver = None
        self._keep_alive = False
        self._rest = b""
        if self._loss is not None:
            self._lose(*self._loss)
        elif self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if len(data) > TURN_BYTES or self._rest:
            self._between_chunks = False
            self._rest += data
            self._stop_reading()
            self._go_on()
        elif self._between_chunks and self._receiver is not None and (body := sole_chunk(data)) is not None:
            # The usual read of a token. The parser need not see it: it would be between chunks again.
            try:
                self._context.run(self._receiver.receive, body)
            except Exception as raised:
                self._finish(raised)
        else:
            self._take(data)

    def eof_received(self) -> None:
        # TLS would wait for the peer's close_notify before it reported the loss.
        if self._receiver is None:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._loss = (exc,)
        if not self._rest:
            self._lose(exc)
        # Otherwise it was TLS, which reports the end even while reading is paused.

    def _stop_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Schedules the rest of the last read, a piece per turn; once it is handled, resumes reading."""
        if self._paused or self._turn is not None:
            return
        if self._rest:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)
        elif self._loss is not None:
            self._lose(*self._loss)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _take_turn(self) -> None:
        self._turn = None
        data, self._rest = self._rest[:TURN_BYTES], self._rest[TURN_BYTES:]
        if data:
            self._take(data)
        if self._receiver is None and self._rest:
            # Bytes beyond the response.
            self.abort()
        self._go_on()

    def _take(self, data: bytes) -> None:
        if self._receiver is None:
            self.abort()
            return
        self._overhead += len(data)
        error = self._parse(data)
        try:
            self._deliver()
        except Exception as raised:
            self._finish(raised)
        else:
            if error is not None or self.complete:
                self._finish(error)

    def _lose(self, exc: Exception | None) -> None:
        self._loss = None
        if exc is None and self._until_close and self._head is not None:
            self._finish(None)
        else:
            lost = ClosedUnanswered if self._head is None else BrokenOff
            self._finish(lost("closed the connection"), exc)
        self.over(self)
        # The parser refers to this object's methods: a cycle, which would wait for the garbage collector.
        del self._parser

    def _parse(self, data: bytes) -> HttpError | None:
        self._between_chunks = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Bytes after a complete response do no harm: the connection is not used again.
            self._keep_alive = False
            return None if self.complete else MalformedResponse("answers with something else than HTTP/1.1")
        if self._overhead > MAX_OVERHEAD_BYTES and not self._body and not self.complete:
            return TooLarge(f"answers with a head of more than {MAX_OVERHEAD_BYTES} bytes")
        # What follows a chunk before the next one's size line is told by no callback.
        self._between_chunks = self._after_chunk and data.endswith(b"\r\n") and not self._rest
        return None

    def _deliver(self) -> None:
        # Not from within the parser's calls: it would swallow what the receiver raises.
        if self._head is not None and not self._announced and self._receiver is not None:
            self._announced = True
            self._context.run(self._receiver.answered, self._head)
        body, self._body = self._body, []
        if body and self._receiver is not None:
            self._overhead = 0
            self._context.run(self._receiver.receive, body[0] if len(body) == 1 else b"".join(body))

    def _finish(self, error: Exception | None, cause: Exception | None = None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if error is not None:
            self._keep_alive = False
            if cause is not None:
                error.__cause__ = cause
        self._context.run(receiver.closed, error)
        self.over(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.complete:
            raise MalformedResponse("answers more than was asked")
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is not None:
            return
        # The white space around a value is no part of it (RFC 9112, 5.1).
        key, text = name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self._head = ResponseHead(status, self._headers)
        self._until_close = not self._headers.keys() & {"content-length", "transfer-encoding"}
        # The parser knows this only until the message is complete. Keep-alive in HTTP/1.0 is not relied on.
        self._keep_alive = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"

    def on_chunk_header(self) -> None:
        self._after_chunk = False

    def on_chunk_complete(self) -> None:
        self._after_chunk = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self.complete = True
