"""Following a stream or a topic in a terminal: its text, or messages, on stdout, what happens to it on stderr."""

from __future__ import annotations

import http.client
import random
import select
import sys
import time
from collections.abc import Iterator

import msgspec

from tidegate.client.http import bearer, get
from tidegate.client.session import Session
from tidegate.core.sse import ServerSentEvent
from tidegate.errors import UpstreamMalformed, UpstreamRefused, UpstreamUnreachable

SILENCE_SECONDS = 60.0
"""Four of the server's default heartbeats: a connection that is silent for longer is dead."""

UNAUTHENTICATED = 401
NO_KEY = "the server asks for a key: put it into TIDEGATE_API_KEY (401)"

CHUNK_BYTES = 65536
MAX_ERROR_BYTES = 65536


class _Data(msgspec.Struct):
    """What `tail` looks at in the data of any event."""

    text: str = ""
    reason: str | None = None
    error: _Data | None = None
    message: str = ""
    to: str = ""
    by: str = ""
    data: msgspec.Raw = msgspec.Raw()


def follow(url: str, name: str, *, after: str | None, api_key: str) -> int:
    """Prints the text of a stream as it comes, until its end: 0 if it completed, 1 if not. A topic has no end.

    Raises `UpstreamRefused` where the server will not have it, `UpstreamMalformed` where it does not make sense.
    """
    printer = _Printer()
    session = Session(name, after=after, random=random.random)
    try:
        while not session.ended:
            try:
                for event in _connection(session, url.rstrip("/"), bearer(api_key)):
                    printer.show(event)
            except UpstreamUnreachable as error:
                printer.say(error.message)
            if not session.ended:
                _wait(session, printer)
    finally:
        if _is_read():
            printer.end_line()
    return printer.code


def _is_read() -> bool:
    """Whether somebody takes what is printed. A terminal may be stopped, and who leaves must not wait for it."""
    return bool(select.select([], [sys.stdout], [], 0)[1])


def _wait(session: Session, printer: _Printer) -> None:
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
            if not session.answered(response.status, response.getheader, lambda: response.read(MAX_ERROR_BYTES)):
                return
            while not session.ended and (chunk := response.read1(CHUNK_BYTES)):
                yield from session.feed(chunk)
    except (OSError, http.client.HTTPException) as error:
        raise UpstreamUnreachable(f"the connection broke: {error or type(error).__name__}") from error


class _Printer:
    """Shows events. `code` is the exit code so far."""

    def __init__(self) -> None:
        self.code = 0
        self._in_line = False

    def show(self, event: ServerSentEvent) -> None:
        try:
            data = msgspec.json.decode(event.data, type=_Data)
        except msgspec.DecodeError as error:
            raise UpstreamMalformed(f"the server sent an event {event.event!r} that cannot be read: {error}") from error
        if event.event == "delta":
            self._print(data.text)
        elif event.event == "gap":
            self.say(f"what came before {data.to} is no longer kept")
        elif event.event == "failed":
            self._end(f"failed: {data.error.message if data.error else 'no reason given'}")
        elif event.event == "cancelled":
            self._end(f"cancelled by {data.by}" + (f": {data.reason}" if data.reason else ""))
        elif bytes(data.data):
            self._print(_line(data.data))

    def say(self, message: str) -> None:
        # Not on stdout: what stands there is the stream's text and nothing else.
        sys.stderr.write("\n" * self._in_line + f"tidegate: {message}\n")
        sys.stderr.flush()

    def end_line(self) -> None:
        """Ends the line of text that was begun on stdout."""
        if self._in_line:
            self._print("\n")

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        if text:
            self._in_line = not text.endswith("\n")

    def _end(self, message: str) -> None:
        self.code = 1
        self.say(message)


def _line(message: msgspec.Raw) -> str:
    """A message of a topic: a text as it is, all else as JSON."""
    value = msgspec.json.decode(message)
    return f"{value if isinstance(value, str) else bytes(message).decode()}\n"
