"""Fetches the key set of an issuer from `auth.jwks_url`."""

from __future__ import annotations

from tidegate.core.url import split_url
from tidegate.errors import ConfigError, IssuerUnavailable
from tidegate.http_client.errors import HttpError
from tidegate.http_client.fetch import fetch

TIMEOUT_SECONDS = 5.0
"""Short, since requests wait for the keys."""

MAX_BYTES = 1024 * 1024
"""Two hundred keys with their certificates are smaller."""

HEADERS = {"accept": "application/json", "user-agent": "tidegate"}


class JwksUrl:
    """`auth.jwks_url`. `name` is its host and port, all that is ever shown of it, since its query may hold a secret.

    Raises `ConfigError` where the URL is no http or https URL, or has a user in it.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.name = _place(url)
        self._url = url
        self._timeout = timeout

    async def fetch(self) -> bytes:
        """The document. Raises `IssuerUnavailable`, with the reason and nothing of the URL."""
        try:
            document = await fetch(self._url, HEADERS, seconds=self._timeout, max_bytes=MAX_BYTES)
        except HttpError as error:
            # Tokens cannot be checked, whatever the reason; the log shows the operator the system's own words.
            raise IssuerUnavailable(str(error)) from None
        if document.status != 200:
            raise IssuerUnavailable(f"answers {document.status}")
        return document.body


def _place(url: str) -> str:
    parts = split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError("auth.jwks_url: expected an absolute http or https URL without a user")
    return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
