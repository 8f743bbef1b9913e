"""Headers that the gate adds to a response, whoever makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Field = tuple[bytes, bytes]
Headers = Iterable[Field]
Late = Callable[[], Headers]

HEADERS = "tidegate.headers"
"""Where in an ASGI scope the list is that everything further in appends to, until the response starts.

It holds fields, and functions for those that are known only when it does start.
"""

STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
"""The messages that have the head of an answer."""

_VARY = b"vary"


class ResponseHeadersMiddleware:
    """Sets `scope[HEADERS]`, and adds what is in it to the response; stands outermost, so that errors have it too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            return self.app(scope, receive, send)
        added: list[Field | Late] = []
        scope[HEADERS] = added

        # The only wrapper for all of them, and a plain function: it costs no coroutine per message of a stream.
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] in STARTS:
                message = {**message, "headers": merged(list(message.get("headers", ())), list(_known(added)))}
            return send(message)

        return self.app(scope, receive, send_with_headers)


class Watched:
    """`send`, with the answer's status once it has begun; smaller than a closure, and kept as long as a WebSocket."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status is not None

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] in STARTS:
            # A WebSocket's acceptance is 101 (RFC 6455, 4.2.2).
            self.status = message.get("status", 101)
        return self._send(message)


def merged(own: Sequence[Field], added: Sequence[Field]) -> list[Field]:
    """The response's own headers and those added that it does not have. Only `vary` is the sum of both."""
    names = {_VARY, *(name for name, _ in own)}
    headers = [field for field in own if field[0] != _VARY]
    headers += [field for field in added if field[0] not in names]
    # In one line: caches have read only one of several.
    if varies := [value for name, value in (*own, *added) if name == _VARY]:
        headers.append((_VARY, b", ".join(varies)))
    return headers


def _known(added: Iterable[Field | Late]) -> Iterator[Field]:
    for each in added:
        if callable(each):
            yield from each()
        else:
            yield each
