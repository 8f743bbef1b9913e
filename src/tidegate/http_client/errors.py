"""Why an HTTP call has no response, in one tree that names neither who was called nor by whom.

    HttpError
    ├── CannotReach             there is no connection, for a reason of the system's
    │   ├── UnknownHost
    │   ├── MalformedHost
    │   ├── ConnectionRefused
    │   └── TlsFailed
    ├── TimedOut
    ├── ConnectionClosed        nobody knows how far the response had come
    │   ├── ClosedUnanswered
    │   └── BrokenOff
    ├── MalformedResponse
    └── TooLarge

They are never answered: whoever calls maps them by a table to errors of its own (`tidegate.errors`), once, at its edge.
"""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException


class HttpError(Exception):
    """Its text says what has gone wrong, without a subject; it may name an address, but nothing else of a URL."""


class CannotReach(HttpError):
    """There is no connection."""


class UnknownHost(CannotReach):
    """The host's name has no address."""


class MalformedHost(CannotReach):
    """The host's name cannot be one: it has an empty label, say."""


class ConnectionRefused(CannotReach):
    """Nobody listens at the port."""


class TlsFailed(CannotReach):
    """The other side speaks no TLS, or cannot prove its name."""


class TimedOut(HttpError):
    """The connection, or the response, did not come in time."""


class ConnectionClosed(HttpError):
    """The connection was closed while it was being made or used."""


class ClosedUnanswered(ConnectionClosed):
    """It was closed before the response's head had come."""


class BrokenOff(ConnectionClosed):
    """It was closed between the response's head and its end."""


class MalformedResponse(HttpError):
    """What came is not HTTP/1.1."""


class TooLarge(HttpError):
    """The response, or its head, is larger than the caller takes."""


_KINDS: tuple[tuple[type[Exception], type[HttpError]], ...] = (
    (ssl.SSLError, TlsFailed),
    (socket.gaierror, UnknownHost),
    (UnicodeError, MalformedHost),
    (ConnectionRefusedError, ConnectionRefused),
    (TimeoutError, TimedOut),
    (ConnectionError, ConnectionClosed),
    (HTTPException, MalformedResponse),
)


def failure(error: Exception) -> HttpError:
    """What an exception of the standard library's sockets, `ssl` or `http.client` means; it is the cause.

    The text is the system's; that of other exceptions may repeat the URL, so that only their class is told.
    """
    kind = next((kind for known, kind in _KINDS if isinstance(error, known)), CannotReach)
    failed = kind(str(error) if isinstance(error, OSError) else type(error).__name__)
    failed.__cause__ = error
    return failed
