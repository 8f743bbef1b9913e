"""Fetches the key set of an issuer over HTTP.

Each fetch has a thread of its own, which ends with it: at its time limit its connection is shut down, whatever the
issuer is sending, and a resolver that does not answer keeps neither other fetches from starting nor the process from
ending.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any
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
        flight = _Flight(self._url, self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                return await flight.land()
        except TimeoutError:
            raise IssuerUnavailable("timed out") from None
        finally:
            flight.abandon()


class _Flight:
    """One fetch, in a daemon thread."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._landed: asyncio.Future[bytes] = self._loop.create_future()
        # A duplicate of each connection: the thread's own is wrapped, handed on and closed by others.
        self._lines: list[socket.socket] = []
        self._abandoned = False
        self._lock = threading.Lock()

    async def land(self) -> bytes:
        """The document. Raises `IssuerUnavailable`."""
        threading.Thread(target=self._work, name="tidegate-jwks", daemon=True).start()
        return await self._landed

    def abandon(self) -> None:
        """Cuts its connections: what the thread waits for fails now."""
        with self._lock:
            self._abandoned = True
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
                line.close()

    def connected(self, *arguments: Any) -> socket.socket:
        """In place of `socket.create_connection`."""
        sock = socket.create_connection(*arguments)
        with self._lock:
            if self._abandoned:
                sock.close()
                raise TimeoutError("timed out")
            self._lines.append(sock.dup())
        return sock

    def _work(self) -> None:
        try:
            document: bytes | IssuerUnavailable = self._get()
        except IssuerUnavailable as error:
            document = error
        except Exception as error:
            document = IssuerUnavailable(type(error).__name__)
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting
            self._loop.call_soon_threadsafe(self._land, document)

    def _land(self, document: bytes | IssuerUnavailable) -> None:
        if self._landed.done():
            return
        if isinstance(document, bytes):
            self._landed.set_result(document)
        else:
            self._landed.set_exception(document)

    def _get(self) -> bytes:
        # It takes the system's proxies with it.
        opener = urllib.request.build_opener(_SameScheme, _Http(self), _Https(self))
        request = urllib.request.Request(self._url, headers={"accept": "application/json", "user-agent": "tidegate"})
        try:
            with opener.open(request, timeout=self._timeout) as response:
                return _body(response)
        except HTTPError as error:
            error.close()
            raise IssuerUnavailable(f"answers {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise IssuerUnavailable(_reason(error)) from None


def _body(response: HTTPResponse) -> bytes:
    if response.status != 200:
        raise IssuerUnavailable(f"answers {response.status}")
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            raise IssuerUnavailable(f"answers with more than {MAX_BYTES} bytes")
    return bytes(body)


class _Http(urllib.request.HTTPHandler):
    """Opens connections that can be cut."""

    def __init__(self, flight: _Flight) -> None:
        super().__init__()
        self._flight = flight

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, /, **options: Any) -> HTTPConnection:
        return _cuttable(HTTPConnection(host, **options), self._flight)


class _Https(urllib.request.HTTPSHandler):
    """The same over TLS; certificates and names are checked as always."""

    def __init__(self, flight: _Flight) -> None:
        super().__init__()
        self._flight = flight

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, /, **options: Any) -> HTTPConnection:
        return _cuttable(HTTPSConnection(host, **options), self._flight)


def _cuttable(connection: HTTPConnection, flight: _Flight) -> HTTPConnection:
    # The one place where http.client lets others connect for it; its name has been the same since Python 3.5.
    connection._create_connection = flight.connected  # type: ignore[attr-defined]
    return connection


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
