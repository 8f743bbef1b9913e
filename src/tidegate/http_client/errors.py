"""Why an HTTP call has no response, in one tree that names neither the server nor the caller.

    HttpError
    ├── CannotReach             there is no connection
    │   ├── UnknownHost
    │   ├── MalformedHost
    │   ├── ConnectionRefused
    │   └── TlsFailed
    ├── TimedOut
    ├── ConnectionClosed        it was lost while being made or used
    │   ├── ClosedUnanswered
    │   └── BrokenOff
    ├── MalformedResponse
    └── TooLarge

Clients never see them: each calling room maps them by a table to its own errors (`tidegate.errors`), in one place.
"""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead


class HttpError(Exception):
    """The message says what went wrong, without a subject; it may name an address, but nothing else of a URL."""


class CannotReach(HttpError):
    """There is no connection."""


class UnknownHost(CannotReach):
    """The host's name has no address."""


class MalformedHost(CannotReach):
    """The host's name is not valid: it has an empty label, say."""


class ConnectionRefused(CannotReach):
    """Nobody listens at the port."""


class TlsFailed(CannotReach):
    """The server does not speak TLS, or cannot prove its name."""


class TimedOut(HttpError):
    """The connection, or the response, did not come in time."""


class ConnectionClosed(HttpError):
    """The connection was closed while it was being made or used."""


class ClosedUnanswered(ConnectionClosed):
    """The connection was closed before the response's head had come."""


class BrokenOff(ConnectionClosed):
    """The connection was closed between the response's head and its end."""


class MalformedResponse(HttpError):
    """The response is not HTTP/1.1."""


class TooLarge(HttpError):
    """The response, or its head, is larger than the caller accepts."""


_KINDS: tuple[tuple[type[Exception], type[HttpError]], ...] = (
    (ssl.SSLError, TlsFailed),
    (socket.gaierror, UnknownHost),
    (UnicodeError, MalformedHost),
    (ConnectionRefusedError, ConnectionRefused),
    (TimeoutError, TimedOut),
    (ConnectionError, ConnectionClosed),
    (IncompleteRead, BrokenOff),
    (HTTPException, MalformedResponse),
)


def failure(error: Exception) -> HttpError:
    """The error for an exception of the standard library's sockets, `ssl` or `http.client`, which becomes its cause.

    The message is the system's for an `OSError`; that of other exceptions may repeat the URL, so their class stands.
    """
    kind = next((kind for known, kind in _KINDS if isinstance(error, known)), CannotReach)
    failed = kind(str(error) if isinstance(error, OSError) else type(error).__name__)
    failed.__cause__ = error
    return failed
