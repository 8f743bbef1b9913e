"""CRC-32 by arithmetic on checksums alone, without the data, after Mark Adler's `crc32_combine` in zlib.

A checksum is a polynomial over GF(2): the remainder of the data's. Appending n bytes multiplies it by x to the 8n.
"""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320  # IEEE 802.3, its bits reversed, as in gzip (RFC 1952, 8)
_ONE = 1 << 31
_BYTE = 1 << 23  # x to the 8


def followed(checksum: int, before: int, after: int, size: int) -> int:
    """The checksum of a text after the `size` bytes that have changed another text's checksum from `before` to `after`.

    crc32(a + s) = followed(crc32(a), crc32(b), crc32(b + s), len(s))
    """
    return _times(_power(size), checksum ^ before) ^ after


@lru_cache(maxsize=1024)
def _power(size: int) -> int:
    """x to the 8 * size. Cached, since readers that join a broadcast together leave it together, with the same size."""
    result, base = _ONE, _BYTE
    while size:
        if size & 1:
            result = _times(base, result)
        base = _times(base, base)
        size >>= 1
    return result


def _times(a: int, b: int) -> int:
    """The product, modulo the polynomial."""
    product, bit = 0, _ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product
