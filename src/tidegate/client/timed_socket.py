"""A socket of the standard library's HTTP client whose exchange, not only each of its steps, has a time limit."""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any, cast


class TimedSocket:
    """Has what `HTTPConnection` and `HTTPResponse` call. Whatever goes on after `seconds` raises `TimeoutError`."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._until = 0.0

    def allow(self, seconds: float) -> None:
        """Begins to count anew."""
        self._until = time.monotonic() + seconds

    def arm(self) -> None:
        """Gives the next step what is left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._inner.settimeout(left)

    def sendall(self, data: Any) -> None:
        self.arm()
        self._inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedFile(self, self._inner.makefile("rb", buffering=0)))

    def fileno(self) -> int:
        return self._inner.fileno()

    def shutdown(self) -> None:
        """Wakes who waits for it. TLS says no goodbye, which would have to wait, too."""
        with suppress(OSError):
            socket.socket.shutdown(self._inner, socket.SHUT_RDWR)

    def close(self) -> None:
        self._inner.close()


class _TimedFile(io.RawIOBase):
    """What is read from the socket; it keeps the socket open."""

    def __init__(self, timed: TimedSocket, raw: socket.SocketIO) -> None:
        self._timed = timed
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._timed.arm()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class FinalResponse(HTTPResponse):
    """The answer itself: others may come before it (103 Early Hints), of which `HTTPResponse` knows but one kind."""

    def begin(self) -> None:
        super().begin()
        while 100 < self.status < 200:
            # It would do nothing the second time.
            self.headers = cast("Any", None)
            super().begin()
