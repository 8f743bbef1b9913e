"""Headers that the gate adds to a response, whoever makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]

HEADERS = "tidegate.headers"
"""Where in an ASGI scope the list is that everything further in appends to, until the response starts."""

_VARY = b"vary"


class ResponseHeadersMiddleware:
    """Sets `scope[HEADERS]`, and adds what is in it to the response; stands outermost, so that errors have it too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        added: list[tuple[bytes, bytes]] = []
        scope[HEADERS] = added

        # The only wrapper for all of them, and a plain function: it costs no coroutine per message of a stream.
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": merged(list(message.get("headers", ())), added)}
            return send(message)

        return self.app(scope, receive, send_with_headers)


def merged(own: Sequence[tuple[bytes, bytes]], added: Headers) -> list[tuple[bytes, bytes]]:
    """The response's own headers and those added that it does not have. Only `vary` is the sum of both."""
    names = {_VARY, *(name for name, _ in own)}
    headers = [field for field in own if field[0] != _VARY]
    headers += [field for field in added if field[0] not in names]
    # In one line: caches have read only one of several.
    if varies := [value for name, value in (*own, *added) if name == _VARY]:
        headers.append((_VARY, b", ".join(varies)))
    return headers
