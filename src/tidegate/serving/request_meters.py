"""How large the head and the body of a request are, while they arrive; uvicorn has no limit on either."""

from __future__ import annotations

from tidegate.errors import HeadersTooLarge, MalformedHttp

MOST_FIELDS = 1000
"""The most fields of a head, and of a trailer. Much code looks at each field; a thousand take some milliseconds.
Browsers send twenty; other servers take from a hundred to two thousand."""


class HeadMeter:
    """Counts, and raises `HeadersTooLarge` past `most` bytes or `MOST_FIELDS`.

    `reported`: whether the parser has found anything in what it was fed. Bytes in which it finds nothing, such as part
    of a field or empty lines, count as well.
    """

    __slots__ = ("_bytes", "_fields", "_most", "_silent", "reported")

    def __init__(self, most: int) -> None:
        self.reported = False
        self._most = most
        self._bytes = 0
        self._fields = 0
        self._silent = 0

    def begin(self) -> None:
        """A head begins, or a trailer may begin."""
        self._bytes = self._fields = 0

    def add(self, size: int) -> None:
        """Counts `size` bytes of the request line."""
        self._bytes += size
        if self._bytes > self._most:
            raise self._too_large()

    def add_field(self, name: bytes, value: bytes) -> None:
        self._bytes += len(name) + len(value) + 4
        self._fields += 1
        if self._bytes > self._most:
            raise self._too_large()
        if self._fields > MOST_FIELDS:
            raise HeadersTooLarge(f"The request has more than {MOST_FIELDS} headers.")

    def fed(self, size: int) -> None:
        """Counts `size` bytes that the parser was fed."""
        self._silent = 0 if self.reported else self._silent + size
        if self._silent > self._most:
            raise self._too_large()

    def _too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"The request line and the headers are larger than {self._most} bytes.")


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
