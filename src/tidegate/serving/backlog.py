"""What has been read from a connection and is still to be parsed: taken in pieces, each of which is little work."""

from __future__ import annotations

PIECE_BYTES = 4096
"""As much as is parsed at once where a byte may mean anything: 700 chunks of one byte, or half a millisecond. A body
whose length is known is no work to parse, and is taken as it came."""

_END_OF_HEAD = b"\r\n\r\n"


class Backlog:
    """Bytes, of which the first `_at` are taken already: to cut them off each time would copy the rest.

    `data` is empty where none are left, and is looked at for each request.
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
        """The first so many, or fewer, left where they are."""
        return self.data[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The first so many, or fewer."""
        piece = self.data[self._at : self._at + size]
        self._at += len(piece)
        if self._at == len(self.data):
            self.data, self._at = b"", 0
        return piece

    def take_head(self) -> bytes:
        """A piece that ends with a head of HTTP, if one ends in it: no more requests than one begin in a piece."""
        end = self.data.find(_END_OF_HEAD, self._at, self._at + PIECE_BYTES)
        return self.take(PIECE_BYTES if end < 0 else end - self._at + len(_END_OF_HEAD))

    def clear(self) -> bytes:
        """All of them."""
        return self.take(len(self))


def is_one_head(data: bytes) -> bool:
    """Whether it is a head of HTTP, and nothing else: a piece by itself."""
    end = len(data) - len(_END_OF_HEAD)
    return 0 <= end < PIECE_BYTES and data.find(_END_OF_HEAD) == end
