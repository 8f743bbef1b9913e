"""Connections and request heads for upstreams, and the errors that clients get for failed connections."""

from __future__ import annotations

import functools
import re

from tidegate.errors import (
    ConfigError,
    ProviderError,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tidegate.http_client.connect import connect
from tidegate.http_client.connection import ClientConnection
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import (
    BrokenOff,
    CannotReach,
    ClosedUnanswered,
    ConnectionClosed,
    ConnectionRefused,
    HttpError,
    MalformedHost,
    MalformedResponse,
    TimedOut,
    TlsFailed,
    TooLarge,
    UnknownHost,
)

UPSTREAM_ERRORS: dict[type[HttpError], tuple[type[ProviderError], str]] = {
    CannotReach: (UpstreamUnreachable, "The upstream cannot be reached."),
    UnknownHost: (UpstreamUnreachable, "The upstream's host name is not known."),
    MalformedHost: (UpstreamUnreachable, "The upstream's host name is not one."),
    ConnectionRefused: (UpstreamUnreachable, "The upstream refused the connection."),
    TlsFailed: (UpstreamUnreachable, "The upstream's TLS handshake failed."),
    TimedOut: (UpstreamTimeout, "The upstream did not accept the connection in time."),
    ConnectionClosed: (UpstreamUnreachable, "The upstream cannot be reached."),
    ClosedUnanswered: (UpstreamInterrupted, "The upstream closed the connection before it answered."),
    BrokenOff: (UpstreamInterrupted, "The upstream closed the connection in the middle of its answer."),
    MalformedResponse: (UpstreamMalformed, "The upstream's answer is not HTTP/1.1."),
    TooLarge: (UpstreamMalformed, "The upstream's response head is too large."),
}
"""The error and message for clients, which are told no host; the cause has it. A plain `ConnectionClosed` means that
the connection was still being made."""


def upstream_error(error: HttpError) -> ProviderError:
    """The provider's error for the failure of a connection, with the same cause."""
    kind, message = UPSTREAM_ERRORS[type(error)]
    mapped = kind(message)
    mapped.__cause__ = error.__cause__
    return mapped


async def connect_upstream(endpoint: Endpoint, seconds: float) -> ClientConnection:
    """Opens a connection, TLS included, within `seconds`.

    Raises `UpstreamTimeout` or `UpstreamUnreachable`: then no request has been sent.
    """
    try:
        return await connect(endpoint, seconds)
    except HttpError as error:
        raise upstream_error(error) from error.__cause__


def request_head(endpoint: Endpoint, path: str, api_key: str) -> bytes:
    """The head of a POST of JSON that asks for an event stream, up to the value of content-length.

    Raises `ConfigError` if the key cannot stand in a header.
    """
    headers = {
        "user-agent": f"tidegate/{version()}",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    if api_key:
        if re.fullmatch(r"[!-~]+", api_key) is None:
            raise ConfigError("the API key holds characters that cannot stand in a header")
        headers["authorization"] = f"Bearer {api_key}"
    elif endpoint.credentials:
        headers["authorization"] = f"Basic {endpoint.basic}"
    return endpoint.request_head("POST", path, headers) + b"content-length: "


@functools.cache
def version() -> str:
    """The installed version of tidegate."""
    from importlib.metadata import version

    return version("tidegate")
