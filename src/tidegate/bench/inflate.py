"""Reads event streams over many connections, decompresses them, and counts tokens, as `load.c` does for more readers.

    python -m tidegate.bench.inflate PORT CONNECTIONS < request, then commands

"up" is printed first; the request, `reset`, `report` and "ready" are those of `load.c`. A token's delay ends when its
bytes are read, as in `load.c`; they are decompressed when there is nothing more to read, so that this delays no other
token. The program ends with status 1 at the end of an answer, or when a read is not a whole number of events.
"""

from __future__ import annotations

import io
import re
import resource
import select
import socket
import sys
import time
import zlib
from collections.abc import Iterator

import msgspec

from tidegate.bench.load import Counts, Spread
from tidegate.errors import TidegateError

READ_SIZE = 1 << 20
"""More than a connection's buffers hold, so that what was written at once is read at once."""

GZIP = 31
"""zlib's `wbits` for the gzip format, whatever its window."""

STAMP = re.compile(rb"@(\d{19});")


class Answer:
    """One answer, fed read by read. Raises `TidegateError` where it is not what was asked for."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._decompressor = zlib.decompressobj(GZIP)
        self._headed = False

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """The size of the body in these bytes, and its events, decompressed."""
        if not self._headed:
            head, _, data = data.partition(b"\r\n\r\n")
            self._headed = True
            self._check(head.lower())
        body = b"".join(_chunks(data))
        events = self._decompressor.decompress(body) if self._gzip else body
        if body and not events.endswith(b"\n\n"):
            raise TidegateError(f"a read ends within an event: {len(body)} bytes of the body give {events[-80:]!r}")
        return len(body), events

    def _check(self, head: bytes) -> None:
        if head[9:12] != b"200" or (b"\r\ncontent-encoding: gzip" in head) != self._gzip:
            raise TidegateError(f"this answer was not expected: {head.decode(errors='replace')}")


class Readers:
    """Connections that have sent the request."""

    def __init__(self, port: int, count: int, request: bytes) -> None:
        self._buffer = bytearray(READ_SIZE)
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._answers: dict[int, Answer] = {}
        self._unread: list[tuple[int, int, bytes]] = []
        gzip = b"\r\naccept-encoding: gzip" in request.lower()
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(request)
            self._sockets[connection.fileno()] = connection
            self._answers[connection.fileno()] = Answer(gzip=gzip)
            self._epoll.register(connection, select.EPOLLIN)
        self._silent = set(self._sockets)
        self.reset()

    def run(self, commands: io.FileIO) -> None:
        """Reads events and obeys commands, until the commands end."""
        self._epoll.register(commands, select.EPOLLIN)
        while True:
            found = self._epoll.poll(0 if self._unread else -1)
            for file, _ in found:
                if file != commands.fileno():
                    self._read(file)
                elif not self._obey(commands.readline().strip()):
                    return
            if not found:
                self._inflate()

    def reset(self) -> None:
        self._since = time.monotonic()
        self._bytes = self._body = self._events = 0
        self._delays: list[int] = []

    def report(self) -> Counts:
        """The counts since the last reset."""
        seconds = time.monotonic() - self._since
        delay, tokens = _spread(self._delays), len(self._delays)
        return Counts(seconds, tokens, self._events, self._bytes, delay, self._body)

    def _obey(self, command: bytes) -> bool:
        self._inflate()
        if command == b"reset":
            self.reset()
        elif command == b"report":
            _say(msgspec.json.encode(self.report()))
        return command != b""

    def _read(self, file: int) -> None:
        size = self._sockets[file].recv_into(self._buffer)
        self._unread.append((file, time.time_ns(), bytes(memoryview(self._buffer)[:size])))
        if self._silent:
            self._silent.discard(file)
            if not self._silent:
                _say(b"ready")

    def _inflate(self) -> None:
        for file, arrived, data in self._unread:
            if not data:
                raise TidegateError("a connection has ended")
            body, events = self._answers[file].feed(data)
            self._bytes += len(data)
            self._body += body
            self._events += events.count(b"data: ")
            self._delays += [max(0, arrived - int(stamp)) for stamp in STAMP.findall(events)]
        self._unread.clear()


def main() -> None:
    port, connections = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Without a buffer, since commands in one would not wake the poll.
    with open(0, "rb", buffering=0) as commands:
        _say(b"up")
        request = commands.read(int(commands.readline()))
        try:
            Readers(port, connections, request).run(commands)
        except TidegateError as error:
            sys.exit(f"the load generator ends: {error}")


def _chunks(data: bytes) -> Iterator[bytes]:
    while data:
        digits, _, data = data.partition(b"\r\n")
        size = int(digits, 16)
        if size == 0 or data[size : size + 2] != b"\r\n":
            raise TidegateError("an answer has ended" if size == 0 else "a read ends within a chunk")
        yield data[:size]
        data = data[size + 2 :]


def _spread(delays: list[int]) -> Spread:
    if not delays:
        return Spread(0, 0, 0, 0, 0)
    ordered = sorted(delays)
    count = len(ordered)
    marks = sum(ordered) / count, ordered[count // 2], ordered[count * 99 // 100], ordered[-1]
    return Spread(count, *(mark / 1e6 for mark in marks))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
