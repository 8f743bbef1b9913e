"""Fetches a small document over HTTP, through the system's proxies, following redirects.

Each fetch has its own thread. At the time limit the fetch's connections are shut down, whatever the server is sending.
A resolver that does not answer keeps neither other fetches from starting nor the process from ending.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tidegate.http_client.errors import CannotReach, HttpError, TimedOut, TooLarge, failure

_CHUNK = 64 * 1024


class Document(NamedTuple):
    """The answer to a GET, redirects followed; `body` is empty where `status` is not 200."""

    status: int
    body: bytes


async def fetch(url: str, headers: Mapping[str, str], *, seconds: float, max_bytes: int) -> Document:
    """The document at a URL, within `seconds` and `max_bytes`.

    Raises `HttpError`, whose message has nothing of the URL. A redirect is followed to the same scheme only.
    """
    flight = _Flight(url, headers, seconds, max_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await flight.land()
    except TimeoutError:
        raise TimedOut("timed out") from None
    finally:
        flight.abandon()


class _Flight:
    """One fetch, in a daemon thread."""

    def __init__(self, url: str, headers: Mapping[str, str], seconds: float, max_bytes: int) -> None:
        self._url = url
        self._headers = dict(headers)
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._landed: asyncio.Future[Document] = self._loop.create_future()
        # Duplicates of the sockets: the thread's own ones are wrapped, passed on and closed by urllib.
        self._lines: list[socket.socket] = []
        self._abandoned = False
        self._lock = threading.Lock()

    async def land(self) -> Document:
        """The document. Raises `HttpError`."""
        threading.Thread(target=self._work, name="tidegate-fetch", daemon=True).start()
        return await self._landed

    def abandon(self) -> None:
        """Shuts the connections down: whatever the thread is waiting for fails now."""
        with self._lock:
            self._abandoned = True
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
                line.close()

    def connected(self, *arguments: Any) -> socket.socket:
        """Replaces `socket.create_connection`, and keeps a duplicate of the socket."""
        sock = socket.create_connection(*arguments)
        with self._lock:
            if self._abandoned:
                sock.close()
                raise TimeoutError("timed out")
            self._lines.append(sock.dup())
        return sock

    def _work(self) -> None:
        try:
            outcome: Document | HttpError = self._get()
        except HttpError as error:
            outcome = error
        except URLError as error:
            outcome = failure(error.reason) if isinstance(error.reason, Exception) else CannotReach(error.reason)
        except Exception as error:
            outcome = failure(error)
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting
            self._loop.call_soon_threadsafe(self._land, outcome)

    def _land(self, outcome: Document | HttpError) -> None:
        if self._landed.done():
            return
        if isinstance(outcome, Document):
            self._landed.set_result(outcome)
        else:
            self._landed.set_exception(outcome)

    def _get(self) -> Document:
        # The default opener uses the system's proxies.
        opener = urllib.request.build_opener(_SameScheme, _Http(self), _Https(self))
        request = urllib.request.Request(self._url, headers=self._headers)
        try:
            with opener.open(request, timeout=self._seconds) as response:
                return Document(response.status, self._body(response) if response.status == 200 else b"")
        except HTTPError as error:
            error.close()
            return Document(error.code, b"")

    def _body(self, response: HTTPResponse) -> bytes:
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise TooLarge(f"answers with more than {self._max_bytes} bytes")
        return bytes(body)


class _Http(urllib.request.HTTPHandler):
    """Opens connections that `abandon` can shut down."""

    def __init__(self, flight: _Flight) -> None:
        super().__init__()
        self._flight = flight

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, /, **options: Any) -> HTTPConnection:
        return _cuttable(HTTPConnection(host, **options), self._flight)


class _Https(urllib.request.HTTPSHandler):
    """The same over TLS; certificates and names are verified as usual."""

    def __init__(self, flight: _Flight) -> None:
        super().__init__()
        self._flight = flight

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, /, **options: Any) -> HTTPConnection:
        return _cuttable(HTTPSConnection(host, **options), self._flight)


def _cuttable(connection: HTTPConnection, flight: _Flight) -> HTTPConnection:
    # The only hook by which http.client lets others connect for it; its name has been the same since Python 3.5.
    connection._create_connection = flight.connected  # type: ignore[attr-defined]
    return connection


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Refuses redirects to another scheme: one from https to http would let an attacker replace the document."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != req.type:
            fp.close()
            raise URLError("redirects to another scheme")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
