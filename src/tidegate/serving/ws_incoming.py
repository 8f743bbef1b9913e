"""What has been read of a WebSocket and is still to be parsed: a frame at a time."""

from __future__ import annotations

from tidegate.core.ws_frame import MOST_HEAD, read_head
from tidegate.serving.backlog import Backlog

EMPTY = b"\x00\x80"
EMPTY_BYTES = 6
"""How a piece of a message begins that is neither its first nor its last, and empty; with its mask it has so many bytes
(RFC 6455, 5.2)."""


class Incoming(Backlog):
    """`most` is how many bytes a message may have. Inherited for the bytes alone."""

    __slots__ = ("_head", "_left", "most")

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self._head = b""  # of the frame that is arriving, while it is not whole
        self._left = 0  # bytes of the frame that are still to come, once it is

    def take_frame(self, so_far: int) -> bytes | None:
        """Bytes that end with a frame, if one ends in them: so the next is not looked at before its turn.

        None where its message, of which there are so many bytes already, is too large: its head says so.
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

    def skip_empty(self) -> bool:
        """Whether an empty piece of a message, in the midst of one, was next: it is left out."""
        empty = not (self._left or self._head) and len(self) >= EMPTY_BYTES and self.peek(2) == EMPTY
        if empty:
            self.take(EMPTY_BYTES)
        return empty
