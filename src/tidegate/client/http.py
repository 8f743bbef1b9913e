"""Plain HTTP calls without an event loop, on the standard library."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tidegate.core.url import shown_url
from tidegate.errors import ConfigError, UpstreamMalformed, UpstreamRefused, UpstreamUnreachable

MAX_LIST_BYTES = 4 * 1024 * 1024
"""A list of ten thousand models has less; a server that sends more sends something else."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def get(url: str, headers: Mapping[str, str], *, timeout: float) -> http.client.HTTPResponse:
    """The answer to a GET once its head is there; close it after use. `timeout` in seconds holds for each read too.

    Raises `UpstreamUnreachable`, and `ConfigError` where `url` is no URL.
    """
    connection = connect(url, timeout)
    try:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={**headers, "connection": "close"})
        return connection.getresponse()
    except (OSError, ValueError, http.client.HTTPException) as error:
        connection.close()
        raise UpstreamUnreachable(f"{shown_url(url)} does not answer: {error or type(error).__name__}") from error


def connect(url: str, timeout: float) -> http.client.HTTPConnection:
    """A connection, not open yet, to where the URL is. Raises `ConfigError` where it is no URL."""
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    try:
        parts = urlsplit(url)
        if parts.scheme in kinds and parts.hostname:
            return kinds[parts.scheme](parts.hostname, parts.port, timeout=timeout)
    except (ValueError, http.client.HTTPException):
        pass
    raise ConfigError(f"{shown_url(url)} is not an http or https URL")


def bearer(api_key: str) -> dict[str, str]:
    """The header that carries the key, if there is one. Raises `ConfigError` where it cannot stand there."""
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise ConfigError("the API key in the environment holds characters that cannot stand in a header")
    return {"authorization": f"Bearer {api_key}"} if api_key else {}


def list_models(base_url: str, api_key: str, *, timeout: float = 10.0) -> list[str]:
    """The names of the models that an OpenAI-compatible server has, from `base_url/models`.

    Raises `UpstreamUnreachable`, `UpstreamRefused` where the answer is not 200, and `UpstreamMalformed` where it is
    no list or an empty one.
    """
    url = base_url.rstrip("/") + "/models"
    response: Any = get(url, {"accept": "application/json", **bearer(api_key)}, timeout=timeout)
    try:
        with response:
            body = response.read(MAX_LIST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise UpstreamUnreachable(f"{url} broke off: {error or type(error).__name__}") from error
    if response.status != 200:
        raise UpstreamRefused(f"{url} answered {response.status}", type="upstream_error", status=response.status)
    try:
        names = [model.id for model in msgspec.json.decode(body, type=_Models).data]
    except msgspec.DecodeError as error:
        raise UpstreamMalformed(f"{url} did not answer with a list of models: {error}") from error
    if not names:
        raise UpstreamMalformed(f"{url} lists no models")
    return names
