"""Plain HTTP calls without an event loop, on the standard library."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from tidegate.client.no_answer import no_answer
from tidegate.core.api_key import fit_key
from tidegate.core.url import is_http, shown_url
from tidegate.errors import ConfigError, UpstreamUnreachable
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.tls import tls

FAILURES = (OSError, ValueError, http.client.HTTPException)
"""The exceptions of the standard library for a connection that fails or breaks, or for a response that is no HTTP."""


def get(url: str, headers: Mapping[str, str], *, timeout: float) -> http.client.HTTPResponse:
    """The response to a GET once its head has come; close it after use. `timeout` in seconds holds for each read, too.

    Raises `UpstreamUnreachable`, and `ConfigError` where `url` is no URL.
    """
    endpoint = endpoint_at(url)
    connection = connection_to(endpoint, timeout)
    try:
        connection.request("GET", endpoint.target(""), headers={**headers, "connection": "close"})
        response = connection.getresponse()
    except FAILURES as error:
        connection.close()
        raise UpstreamUnreachable(no_answer(f"{shown_url(url)} does not answer", error).message) from error
    if connection.sock is not None:
        # So that the socket closes with the response, which keeps it open while it is read.
        connection.sock.close()
    return response


def endpoint_at(url: str) -> Endpoint:
    """The endpoint of a URL. Raises `ConfigError` where it is not valid."""
    if not is_http(url):
        raise ConfigError(f"{shown_url(url)} is not an http or https URL")
    return Endpoint.parse(url)


def connection_to(endpoint: Endpoint, timeout: float) -> http.client.HTTPConnection:
    """A connection that is not open yet; `timeout` in seconds holds for each step of its use."""
    if endpoint.scheme == "https":
        return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout, context=tls())
    return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)


def bearer(api_key: str) -> dict[str, str]:
    """The header that carries the key; empty without a key. Raises `ConfigError` where a header cannot hold the key."""
    key = fit_key(api_key, "the API key")
    return {"authorization": f"Bearer {key}"} if key else {}
