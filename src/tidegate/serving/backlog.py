"""Bytes that have been read from a connection and are still to be parsed, in pieces that take little time each."""

from __future__ import annotations

PIECE_BYTES = 4096
"""How much is parsed at once where any byte may begin something: 700 chunks of one byte, or half a millisecond. A
body of known length needs no parsing, and is taken whole."""

_END_OF_HEAD = b"\r\n\r\n"


class Backlog:
    """Bytes, of which the first `_at` are taken already: cutting them off each time would copy the rest.

    `data` is empty where none are left; every request checks it.
    """

    __slots__ = ("_at", "data")

    def __init__(self) -> None:
        self.data = b""
        self._at = 0

    def __len__(self) -> int:
        return len(self.data) - self._at

    def add(self, data: bytes) -> None:
        """Appends what was read."""
        self.data = self.data[self._at :] + data if self.data else data
        self._at = 0

    def put_back(self, data: bytes) -> None:
        """Puts bytes in front."""
        self.data = data + self.data[self._at :]
        self._at = 0

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or fewer; they stay in the backlog."""
        return self.data[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Removes the first `size` bytes, or fewer, and returns them."""
        piece = self.data[self._at : self._at + size]
        self._at += len(piece)
        if self._at == len(self.data):
            self.data, self._at = b"", 0
        return piece

    def take_head(self) -> bytes:
        """Takes a piece that ends with the first end of a head in it, if any: a piece begins at most one request."""
        end = self.data.find(_END_OF_HEAD, self._at, self._at + PIECE_BYTES)
        return self.take(PIECE_BYTES if end < 0 else end - self._at + len(_END_OF_HEAD))

    def clear(self) -> bytes:
        """Removes all bytes and returns them."""
        return self.take(len(self))


def is_one_head(data: bytes) -> bool:
    """Whether `data` is exactly one head of HTTP, and small enough to be one piece."""
    end = len(data) - len(_END_OF_HEAD)
    return 0 <= end < PIECE_BYTES and data.find(_END_OF_HEAD) == end
