"""How much of a request's body has arrived, and in how many pieces a body or a message may arrive."""

from __future__ import annotations

from tidegate.errors import MalformedHttp

FREE_PIECES = 8192
"""So many pieces may have any size, even none: enough for a client that sends one keystroke or token at a time."""

PIECE_BYTES = 64
"""Each further piece must have so many bytes on average. Megabytes in pieces of one byte take over a thousand times the
work of large ones, and no honest client sends them like that."""


class BodyMeter:
    """`left`: bytes still to come, None if unknown. `waiting`: bytes that have come, until the body is complete."""

    __slots__ = ("_pieces", "left", "waiting")

    def __init__(self) -> None:
        self.left: int | None = 0
        self.waiting = 0
        self._pieces = 0

    def begin(self, length: int | None) -> None:
        """A body of `length` bytes begins: None if unknown, 0 if there is no body."""
        self.left = length
        self.waiting = self._pieces = 0

    def add(self, size: int) -> None:
        """A piece of `size` bytes has come. Raises `MalformedHttp` where the body comes in too many pieces."""
        self.waiting += size
        self._pieces += 1
        if self._pieces > FREE_PIECES + self.waiting // PIECE_BYTES:
            raise MalformedHttp("The body comes in too many chunks that are too small.")

    def end(self) -> None:
        """The body is complete, or is no longer wanted."""
        self.waiting = 0
