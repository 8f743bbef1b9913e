"""Adds the gate's headers to every response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.core.sse import EVENT_STREAM

Field = tuple[bytes, bytes]
Headers = Iterable[Field]
Late = Callable[[], Headers]

HEADERS = "tidegate.headers"
"""The key in an ASGI scope of the list that inner layers append headers to, until the response starts.

The list holds fields, and functions for fields that are known only when the response starts.
"""

STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
"""The messages that carry the head of an answer."""

_VARY = b"vary"


class ResponseHeadersMiddleware:
    """Sets `scope[HEADERS]`, and adds its headers to the response. Outermost, so that errors have them, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            return self.app(scope, receive, send)
        added: list[Field | Late] = []
        scope[HEADERS] = added

        # One wrapper for all added headers, and a plain function: no coroutine for each message of a stream.
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] in STARTS:
                message = {**message, "headers": merged(list(message.get("headers", ())), list(_known(added)))}
            return send(message)

        return self.app(scope, receive, send_with_headers)


class WatchedSend:
    """Wraps `send` and keeps the answer's `status`, None before it begins, the time of its `head` by `clock`, and
    whether `events` follow.

    Smaller than a closure, for WebSockets.
    """

    __slots__ = ("_clock", "_send", "events", "head", "status")

    def __init__(self, send: Send, clock: Callable[[], float] = monotonic) -> None:
        self._send = send
        self._clock = clock
        self.head = 0.0
        self.events = False
        self.status: int | None = None

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status is not None

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] in STARTS:
            # A WebSocket's acceptance is 101 (RFC 6455, 4.2.2).
            self.status = message.get("status", 101)
            self.head = self._clock()
            self.events = EVENT_STREAM in message.get("headers", ())
        return self._send(message)


def merged(own: Sequence[Field], added: Sequence[Field]) -> list[Field]:
    """The response's own headers, and the added ones that it lacks. `vary` alone combines both."""
    names = {_VARY, *(name for name, _ in own)}
    headers = [field for field in own if field[0] != _VARY]
    headers += [field for field in added if field[0] not in names]
    # In one line: some caches read only one of several.
    if varies := [value for name, value in (*own, *added) if name == _VARY]:
        headers.append((_VARY, b", ".join(varies)))
    return headers


def _known(added: Iterable[Field | Late]) -> Iterator[Field]:
    for each in added:
        if callable(each):
            yield from each()
        else:
            yield each
