"""gzip for event streams (RFC 1951, RFC 1952): every write is flushed, and readers of one stream share the work.

A gzip body is a header, deflate blocks, and a checksum. Blocks that end on a byte boundary (a sync flush) can come
from different compressors, as long as none refers to text that its reader has not had. So a broadcast has one
compressor for all its members. When a reader joins, it cannot decode a block that refers to earlier ones; so the
compressor starts afresh then, and all can decode again.
"""

from __future__ import annotations

import re
import struct
import zlib
from functools import partial
from typing import Any

from tidegate.core.crc32 import followed

LEVEL = 1
WINDOW_BITS = 10
MEMORY_LEVEL = 3
"""1 KiB of history and small tables: some 14 KB a compressor, and on JSON events within 1 % of what 32 KiB saves."""

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
LAST_BLOCK = b"\x03\x00"
STORED = 128
"""Up to so many bytes, a block that stands alone is stored, not compressed."""


class Deflate:
    """A compressor of consecutive blocks, with the checksum and size of all that it has compressed."""

    def __init__(self) -> None:
        self.checksum = 0
        self.size = 0
        self._compressor: Any = None

    def begin_afresh(self) -> None:
        """The next block refers to nothing before it."""
        self._compressor = None

    def block(self, body: bytes) -> bytes:
        """Compresses `body` into the next block, flushed so that it can be decoded at once."""
        if self._compressor is None:
            self._compressor = _compressor()
        self.checksum = zlib.crc32(body, self.checksum)
        self.size += len(body)
        return self._compressor.compress(body) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class Gzip:
    """Compresses the body of one response, piece by piece as it is written."""

    def __init__(self) -> None:
        self._deflate: Deflate | None = None
        self._checksum = 0
        self._size = 0
        self._begun = False
        self._joined_at = (0, 0)

    def join(self, deflate: Deflate) -> bool:
        """From here on the response gets the blocks of `deflate`. False while its gzip header is not written yet."""
        if self._begun:
            self._deflate = None
            self._joined_at = (deflate.checksum, deflate.size)
            deflate.begin_afresh()
        return self._begun

    def leave(self, deflate: Deflate) -> None:
        """Stops following `deflate`, and adds the blocks since `join` to the checksum and size."""
        before, size = self._joined_at
        grown = deflate.size - size
        self._checksum = followed(self._checksum, before, deflate.checksum, grown)
        self._size += grown

    def write(self, body: bytes, *, live: bool) -> bytes:
        """The bytes to send for `body`. A `live` body refers to the live ones before it; any other stands alone, since
        a compressor would be held for it by a reader that may be idle, or about to join a broadcast.
        """
        self._checksum = zlib.crc32(body, self._checksum)
        self._size += len(body)
        block = self._live_block(body) if live else self._own_block(body)
        if self._begun:
            return block
        self._begun = True
        return HEADER + block

    def end(self) -> bytes:
        """The end of the body, checksum included."""
        return (
            (b"" if self._begun else HEADER) + LAST_BLOCK + struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF)
        )

    def _live_block(self, body: bytes) -> bytes:
        if self._deflate is None:
            self._deflate = Deflate()
        return self._deflate.block(body)

    def _own_block(self, body: bytes) -> bytes:
        # The next live block cannot look back past this one.
        self._deflate = None
        return own_block(body)


def own_block(body: bytes) -> bytes:
    """A block that refers to nothing before it."""
    if len(body) <= STORED:
        return struct.pack("<BHH", 0, len(body), len(body) ^ 0xFFFF) + body
    compressor = _compressor()
    return compressor.compress(body) + compressor.flush(zlib.Z_SYNC_FLUSH)


def accepts_gzip(header: str | None) -> bool:
    """Whether an `accept-encoding` names gzip with a quality above 0 (RFC 9110, 12.5.3)."""
    for part in (header or "").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name in ("gzip", "x-gzip"):
            return not any(_NOT_AT_ALL.fullmatch(parameter) for parameter in parameters)
    return False


_NOT_AT_ALL = re.compile(r"q\s*=\s*0(\.0*)?")
_compressor = partial(zlib.compressobj, LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)
