"""A WebSocket client of raw frames: it sends what it is told to, right or wrong, and reports what comes back."""

from __future__ import annotations

import socket
import struct
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
DEADLINE_SECONDS = 20.0

HANDSHAKE = {
    "host": "localhost",
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": KEY,
    "sec-websocket-version": "13",
}


class Frame(NamedTuple):
    """What a server has sent; it must not mask."""

    opcode: int
    payload: bytes = b""
    fin: bool = True


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\x07\x80\xff\x00"
) -> bytes:
    """A client's frame; `rsv` are the three reserved bits."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0 if mask is None else 0x80
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + payload if mask is None else head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455, 5.3."""
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def closed(code: int) -> Frame:
    """A server's close frame, without its reason."""
    return Frame(CLOSE, struct.pack("!H", code))


def chopped(data: bytes, size: int) -> list[bytes]:
    """The same bytes, in pieces."""
    return [data[start : start + size] for start in range(0, len(data), size)]


class RawSocket:
    """One connection after its handshake."""

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        self._sock = sock
        self._buffer = received

    def send(self, *pieces: bytes) -> None:
        """Each piece as a segment of its own. What a server that has closed does not take is nobody's failure."""
        try:
            for piece in pieces:
                self._sock.sendall(piece)
        except (ConnectionResetError, BrokenPipeError):
            return

    def read(self) -> Frame | None:
        """The next frame; of a close frame only the code. None at the end of the stream."""
        head = self._exactly(2)
        if head is None:
            return None
        size = head[1]
        assert size < 0x80, "a server must not mask"
        if size == 126:
            size = int.from_bytes(self._sure(2), "big")
        elif size == 127:
            size = int.from_bytes(self._sure(8), "big")
        payload = self._sure(size)
        opcode = head[0] & 0xF
        assert not head[0] & 0x70, "no extension was negotiated"
        return Frame(opcode, payload[:2] if opcode == CLOSE else payload, bool(head[0] & 0x80))

    def talk(self, sent: Iterable[bytes], expected: int) -> list[Frame]:
        """Sends, reads so many frames, closes, and reads what is left."""
        self.send(*sent)
        said = [found for found in (self.read() for _ in range(expected)) if found is not None]
        self.send(close(1000))
        while (found := self.read()) is not None:
            said.append(found)
        return said

    def is_over(self) -> bool:
        """Waits for the end of the stream, with nothing before it."""
        return self.read() is None

    def close(self) -> None:
        self._sock.close()

    def _sure(self, size: int) -> bytes:
        found = self._exactly(size)
        assert found is not None
        return found

    def _exactly(self, size: int) -> bytes | None:
        parts = [self._buffer]
        got = len(self._buffer)
        while got < size:
            data = self._sock.recv(1 << 18)
            if not data:
                return None
            parts.append(data)
            got += len(data)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]


def ask(port: int, request: bytes) -> tuple[socket.socket, str, bytes]:
    """Sends a request; gives the socket, the head of the answer and what follows it."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(65536)
        assert data, "the server closed without an answer"
        answer += data
    head, _, rest = answer.partition(b"\r\n\r\n")
    return sock, head.decode(), rest


def request(method: str = "GET", target: str = "/", **changes: str | None) -> bytes:
    """A handshake; changes name headers with `_` for `-`, and None leaves one out."""
    headers = HANDSHAKE | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@contextmanager
def raw_socket(port: int) -> Generator[RawSocket]:
    sock, head, rest = ask(port, request())
    assert head.startswith("HTTP/1.1 101 ")
    assert f"sec-websocket-accept: {ACCEPT}".lower() in head.lower()
    assert rest == b""
    client = RawSocket(sock)
    try:
        yield client
    finally:
        client.close()
