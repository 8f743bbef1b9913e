"""Recognises the usual read of a streamed response: exactly one chunk (RFC 9112, 7.1). Pure."""

from __future__ import annotations

MAX_SIZE_LINE = 6
"""The hexadecimal digits and the line end of the sizes looked for, up to 64 KiB: reads that are longer are cut."""


def sole_chunk(read: bytes) -> bytes | None:
    """The data of a read that is one whole chunk and nothing else, if it comes between two chunks; never empty.

    None where the read is anything else, or the size is written in another way than nearly all servers write it.
    """
    end = read.find(b"\r\n", 0, MAX_SIZE_LINE)
    size = len(read) - end - 4
    if end < 1 or size < 1 or read[:end] != b"%x" % size or not read.endswith(b"\r\n"):
        return None
    return read[end + 2 : -2]
