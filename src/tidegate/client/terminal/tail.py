"""Follows a stream or a topic in a terminal, across lost connections."""

from __future__ import annotations

import http.client
import random
import select
import sys
import time
from collections.abc import Iterator

from tidegate.client.http import FAILURES, bearer, get
from tidegate.client.session import Session
from tidegate.client.terminal.printer import Printer
from tidegate.client.words import reason
from tidegate.core.sse import ServerSentEvent
from tidegate.core.url import is_plain_http, shown_url, with_scheme
from tidegate.errors import ConfigError, UpstreamRefused, UpstreamUnreachable

SILENCE_SECONDS = 60.0
"""Four of the server's default heartbeats: a connection that is silent for longer is dead."""

UNAUTHENTICATED = 401
NO_KEY = "the server asks for a key: put it into TIDEGATE_API_KEY (401)"

CHUNK_BYTES = 65536
MAX_ERROR_BYTES = 65536


def follow(url: str, name: str, *, after: str | None, api_key: str) -> int:
    """Prints the text of a stream as it comes, until its end. Returns 0 if it completed, 1 if not. A topic has no end.

    Raises `UpstreamRefused` where the server refuses, `UpstreamMalformed` where its answer cannot be read, and
    `ConfigError` where `url` or `api_key` cannot be used.
    """
    url, headers = server_url(url), bearer(api_key)
    printer = Printer()
    session = Session(name, after=after, random=random.random)
    said = ""
    try:
        while not session.ended:
            try:
                for event in _connection(session, url, headers):
                    said = ""
                    printer.show(event)
            except UpstreamUnreachable as error:
                # The same reason is not repeated at each retry.
                if error.message != said:
                    printer.say(error.message)
                said = error.message
            if not session.ended:
                _wait(session, printer)
    finally:
        if _is_read():
            printer.end_line()
    return printer.code


def server_url(text: str) -> str:
    """The URL of `--url` without a final slash; an address on this machine needs no scheme.

    Other addresses do: the user has to decide whether a key is sent unencrypted. Raises `ConfigError`.
    """
    url = with_scheme(text)
    if not is_plain_http(url):
        raise ConfigError(
            f"--url {shown_url(text)}: expected http://HOST:PORT or https://HOST, in ASCII and without user and query"
        )
    return url.rstrip("/")


def _is_read() -> bool:
    """Whether stdout takes more output. A stopped terminal does not, and leaving must not wait for it."""
    return bool(select.select([], [sys.stdout], [], 0)[1])


def _wait(session: Session, printer: Printer) -> None:
    delay = session.lost()
    printer.say(f"{'still no answer' if session.offline else 'not connected'}; again in {delay:.1f} s")
    time.sleep(delay)


def _connection(session: Session, url: str, headers: dict[str, str]) -> Iterator[ServerSentEvent]:
    """The events of one connection. Raises `UpstreamUnreachable` when it breaks."""
    path, own = session.request()
    response = get(url + path, {**own, **headers}, timeout=SILENCE_SECONDS)
    try:
        with response:
            if response.status == UNAUTHENTICATED and "authorization" not in headers:
                raise UpstreamRefused(NO_KEY, type="authentication_error", status=response.status)
            if not session.answered(response.status, response.getheader, lambda: _body(response)):
                return
            while not session.ended and (chunk := response.read1(CHUNK_BYTES)):
                yield from session.feed(chunk)
    except FAILURES as error:
        raise UpstreamUnreachable(f"the connection broke: {reason(error)}") from error


def _body(response: http.client.HTTPResponse) -> bytes:
    """The beginning of an answer that is no event stream; empty where it breaks off, since the status is known."""
    try:
        return response.read1(MAX_ERROR_BYTES)
    except FAILURES:
        return b""
