"""Bytes that have been read from a WebSocket and are still to be parsed, one frame at a time."""

from __future__ import annotations

from tidegate.core.ws_frame import MOST_HEAD, read_head
from tidegate.serving.backlog import Backlog

EMPTY = b"\x00\x80"
EMPTY_BYTES = 6
"""How an empty fragment, neither first nor last of its message, begins; with its mask it has `EMPTY_BYTES` bytes
(RFC 6455, 5.2)."""


class Incoming(Backlog):
    """A `Backlog` that is taken by frames. `most` is how many bytes a message may have."""

    __slots__ = ("_head", "_left", "most")

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self._head = b""  # of the frame that is arriving, while it is not whole
        self._left = 0  # bytes of the frame that are still to come, once it is

    def take_frame(self, so_far: int) -> bytes | None:
        """Takes bytes up to the end of the current frame, or what there is of it, so the next frame waits for its turn.

        None where the frame's head announces that its message, which has `so_far` bytes already, becomes too large.
        """
        if not self._left:
            head = read_head(self._head + self.peek(MOST_HEAD))
            if head is None:
                piece = self.take(MOST_HEAD)
                self._head += piece
                return piece
            if not head.control and so_far + head.payload > self.most:
                return None
            self._left, self._head = head.size - len(self._head), b""
        piece = self.take(self._left)
        self._left -= len(piece)
        return piece

    @property
    def is_within_frame(self) -> bool:
        """Whether a part of a frame has been taken, and not yet the rest."""
        return bool(self._left or self._head)

    def skip_empty(self) -> bool:
        """Drops an empty fragment in the middle of a message, if one is next; returns whether it did."""
        empty = not (self._left or self._head) and len(self) >= EMPTY_BYTES and self.peek(2) == EMPTY
        if empty:
            self.take(EMPTY_BYTES)
        return empty
