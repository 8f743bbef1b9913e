"""gzip for event streams (RFC 1951, RFC 1952): every write is flushed, and readers of one stream share the work.

A gzip body is a header, deflate blocks, and a checksum. Blocks that end on a byte boundary (a sync flush) can come
from different compressors, as long as none refers to text that its reader has not had. So the readers at the tail of
a stream share one compressor. A reader that joins them, or has been sent blocks of its own in between, cannot
decode its next block; then the compressor starts afresh, and all can decode again.

A `Broadcast`, which writes to all readers at once, owns a compressor (`Deflate`) and knows who joins. Where readers are
written to one by one, `SharedDeflate` finds out from their turns who can follow.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Hashable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

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
    """The compressor of a broadcast, with the checksum and size of all that it has compressed."""

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


class SharedDeflate:
    """The compressor of all readers at one stream's tail. `turn` counts its blocks; a reader keeps its last turn."""

    def __init__(self) -> None:
        self._compressor: Any = None
        self._turn = 0
        self._body: bytes | None = None
        self._block = b""
        self._stands_alone = True
        self._left_out = False

    def block(self, body: bytes, turn: int | None) -> tuple[bytes, int | None]:
        """The block for a reader that has had all blocks up to `turn` (None: it cannot follow), and its new turn."""
        if body is not self._body:
            self._advance(body, alone=self._left_out or turn != self._turn)
        elif not self._stands_alone and turn != self._turn - 1:
            self._left_out = True
            return own_block(body), None
        return self._block, self._turn

    def _advance(self, body: bytes, *, alone: bool) -> None:
        if alone or self._compressor is None:
            self._compressor = _compressor()
        self._body, self._stands_alone, self._left_out = body, alone, False
        self._turn += 1
        self._block = self._compressor.compress(body) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class Deflates:
    """The shared compressors, one for each stream and dialect, while a reader refers to it."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[Hashable, SharedDeflate] = WeakValueDictionary()

    def of(self, key: Hashable) -> SharedDeflate:
        """The compressor that all readers with this key share."""
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = SharedDeflate()
        return found


class Gzip:
    """Compresses the body of one response, piece by piece as it is written."""

    def __init__(self, shared: SharedDeflate) -> None:
        self._shared = shared
        self._turn: int | None = None
        self._checksum = 0
        self._size = 0
        self._begun = False
        self._joined_at = (0, 0)

    def join(self, deflate: Deflate) -> bool:
        """From here on the response gets the blocks of `deflate`. False while its gzip header is not written yet."""
        if self._begun:
            self._turn = None
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
        """The bytes to send for `body`. `live`: the other readers at the tail are about to get the same body."""
        self._checksum = zlib.crc32(body, self._checksum)
        self._size += len(body)
        if live:
            block, self._turn = self._shared.block(body, self._turn)
        else:
            block, self._turn = own_block(body), None
        if self._begun:
            return block
        self._begun = True
        return HEADER + block

    def end(self) -> bytes:
        """The end of the body, checksum included."""
        return (
            (b"" if self._begun else HEADER) + LAST_BLOCK + struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF)
        )


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
