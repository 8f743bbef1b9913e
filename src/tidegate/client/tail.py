"""Follows a stream or a topic in a terminal, across lost connections."""

from __future__ import annotations

import select
import sys

from tidegate.client import paths
from tidegate.client.client import Client
from tidegate.client.printer import Printer
from tidegate.client.reader import Detail, State
from tidegate.client.stream import Stream
from tidegate.core.url import is_plain_http, shown_url, with_scheme
from tidegate.errors import ConfigError


def follow(url: str, name: str, *, after: str | None, api_key: str) -> int:
    """Prints the text of a stream as it comes, until its end. Returns 0 if it completed, 1 if not. A topic has no end.

    Raises the server's refusal, `UpstreamMalformed` where its answer cannot be read, and `ConfigError` where `url` or
    `api_key` cannot be used.
    """
    printer = Printer()
    try:
        with _opened(Client(server_url(url), api_key, attempts=None), name, after, Told(printer)) as stream:
            for event in stream:
                printer.show(event)
    finally:
        if _is_read():
            printer.end_line()
    return printer.code


def _opened(client: Client, name: str, after: str | None, told: Told) -> Stream:
    if paths.is_stream(name):
        return client.follow(name, after, on_state=told)
    return client.subscribe(name, after, on_state=told)


class Told:
    """Says what becomes of the connection; the same reason is not repeated at each try."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._said = ""

    def __call__(self, state: State, detail: Detail) -> None:
        if state == "streaming":
            self._said = ""
        if state != "reconnecting" or detail.error is None:
            return
        if detail.error.message != self._said:
            self._said = detail.error.message
            self._printer.say(self._said)
        self._printer.say(f"not connected; again in {detail.delay:.1f} s")


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
