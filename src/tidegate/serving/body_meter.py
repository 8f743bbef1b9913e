"""How much of a request's body has come, while it arrives; and in how many pieces it, or a message, may come."""

from __future__ import annotations

from tidegate.errors import MalformedHttp

FREE_PIECES = 8192
"""Of any size, and even empty: whoever types, or sends a token at a time, has as many."""

PIECE_BYTES = 64
"""Of each further one, on average. A piece of one byte takes more time than a thousand of a large one; nobody sends
megabytes like that who wants them to arrive."""


class BodyMeter:
    """`left` are the bytes still to come, None where that is not known; `waiting` those that came, while more is to."""

    __slots__ = ("_pieces", "left", "waiting")

    def __init__(self) -> None:
        self.left: int | None = 0
        self.waiting = 0
        self._pieces = 0

    def begin(self, length: int | None) -> None:
        """A body of this length begins; 0: there is none."""
        self.left = length
        self.waiting = self._pieces = 0

    def add(self, size: int) -> None:
        """A piece of it. Raises `MalformedHttp` where it comes in too many."""
        self.waiting += size
        self._pieces += 1
        if self._pieces > FREE_PIECES + self.waiting // PIECE_BYTES:
            raise MalformedHttp("The body comes in too many chunks that are too small.")

    def end(self) -> None:
        """It is here whole, or nobody wants it any more."""
        self.waiting = 0
