"""Fetches the key set of an issuer over HTTP."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tidegate.errors import ConfigError, IssuerUnavailable

TIMEOUT_SECONDS = 5.0
"""Requests wait for it."""

MAX_BYTES = 1024 * 1024
"""Two hundred keys with their certificates have less."""

_CHUNK = 64 * 1024


class JwksUrl:
    """`auth.jwks_url`. `name` is its host and port: all that is ever told of it, since its query may hold a secret.

    Raises `ConfigError` where it is no http or https URL, or has a user in it.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.name = _place(url)
        self._url = url
        self._timeout = timeout

    async def fetch(self) -> bytes:
        """The document. Raises `IssuerUnavailable`, with the reason and nothing of the URL."""
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.to_thread(self._get)
        except TimeoutError:
            raise IssuerUnavailable("timed out") from None

    def _get(self) -> bytes:
        # It takes the system's proxies with it.
        opener = urllib.request.build_opener(_SameScheme)
        request = urllib.request.Request(self._url, headers={"accept": "application/json", "user-agent": "tidegate"})
        try:
            with opener.open(request, timeout=self._timeout) as response:
                return self._body(response)
        except HTTPError as error:
            error.close()
            raise IssuerUnavailable(f"answers {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise IssuerUnavailable(_reason(error)) from None

    def _body(self, response: HTTPResponse) -> bytes:
        if response.status != 200:
            raise IssuerUnavailable(f"answers {response.status}")
        # Nobody waits any longer after that: the thread must end too, however slowly the bytes come.
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > MAX_BYTES:
                raise IssuerUnavailable(f"answers with more than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")
        return bytes(body)


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """A redirect from https to http would let anybody on the way put in keys of their own."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != req.type:
            fp.close()
            raise URLError("redirects to another scheme")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError("auth.jwks_url: expected an absolute http or https URL without a user")
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def _reason(error: Exception) -> str:
    if isinstance(error, URLError):
        return str(error.reason)
    # The text of others may repeat the URL.
    return str(error) if isinstance(error, OSError) else type(error).__name__
