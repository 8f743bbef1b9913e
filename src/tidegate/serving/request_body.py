"""Reads the body of a request: whole, bounded in size and time, and declared as JSON."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple

from tidegate.core.connection import ClientDisconnected
from tidegate.core.pause import READ_SECONDS, was_paused
from tidegate.core.steps import SLICE, Steps, slices
from tidegate.errors import BodyTooLarge, InvalidRequest, RequestTimeout, UnsupportedMediaType

Headers = Iterable[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# RFC 9110, 8.4.1: `deflate` is the zlib format, `x-gzip` the same as `gzip`. Values are zlib's `wbits`.
_CODINGS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
MAX_RATIO = 100
"""The highest ratio of decompressed to sent bytes: prose has 10, repetitive JSON 50, a decompression bomb 1,000."""

ALWAYS_BYTES = 1024 * 1024
"""A body may always decompress to so many bytes, however few were sent: that takes little time."""

# RFC 8259, 8.1: JSON between systems is UTF-8, of which ASCII is a part.
_CHARSETS = {b"utf-8", b"utf8", b"us-ascii"}


class Packed(NamedTuple):
    """A body as it was sent. `most` is how many bytes it may have once decompressed."""

    sent: bytes
    coding: bytes
    most: int

    def unpacked(self) -> Steps[bytes]:
        """The body, decompressed. Raises `BodyTooLarge`, and `InvalidRequest` where its compression is broken."""
        return (yield from _decompressed(self)) if self.coding else self.sent


async def receive_body(
    scope: MutableMapping[str, Any], receive: Receive, *, max_bytes: int, timeout_seconds: float
) -> Packed:
    """The body; empty if there is none. `max_bytes` limits it both as sent and as decompressed.

    Raises `BodyTooLarge`, `UnsupportedMediaType`, `RequestTimeout`, and `ClientDisconnected`. What the headers alone
    can refuse is refused before anything is read.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if _declared_length(headers) > max_bytes:
        raise _too_large(max_bytes)
    if _declares_body(headers):
        _check_media_type(headers)
    body = await _receive_in_time(receive, max_bytes, timeout_seconds)
    if not body:
        return Packed(b"", b"", 0)
    _check_media_type(headers)
    coding = _value(headers, b"content-encoding")
    if coding in (b"", b"identity"):
        return Packed(body, b"", len(body))
    return Packed(body, coding, min(max_bytes, max(ALWAYS_BYTES, MAX_RATIO * len(body))))


async def _receive_in_time(receive: Receive, max_bytes: int, seconds: float) -> bytes:
    loop, body = asyncio.get_running_loop(), bytearray()
    due = loop.time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(due):
                return await _receive_all(receive, max_bytes, body)
        except TimeoutError:
            if not was_paused(due, loop.time()):
                raise RequestTimeout(f"The body did not arrive within {seconds:g} seconds.") from None
            due = loop.time() + READ_SECONDS


async def _receive_all(receive: Receive, max_bytes: int, body: bytearray) -> bytes:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _decompressed(packed: Packed) -> Steps[bytes]:
    decompressor, found = zlib.decompressobj(_CODINGS[packed.coding]), bytearray()
    try:
        for piece in slices(packed.sent):
            left = piece
            while left:
                found += decompressor.decompress(left, SLICE)
                _check_size(len(found), packed)
                left = decompressor.unconsumed_tail
                yield
        found += decompressor.flush()
    except zlib.error:
        raise InvalidRequest(f"The body is not valid {packed.coding.decode()}.") from None
    _check_size(len(found), packed)
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidRequest(f"The body is not exactly one {packed.coding.decode()} stream.")
    return bytes(found)


def _check_size(size: int, packed: Packed) -> None:
    if size <= packed.most:
        return
    if packed.most < max(ALWAYS_BYTES, MAX_RATIO * len(packed.sent)):
        raise _too_large(packed.most)
    raise BodyTooLarge(f"The body is more than {MAX_RATIO} times as large as what was sent of it.")


def _check_media_type(headers: Headers) -> None:
    media_type, *parameters = (part.strip() for part in _value(headers, b"content-type").split(b";"))
    charsets = {value.strip(b'"') for name, _, value in (p.partition(b"=") for p in parameters) if name == b"charset"}
    if media_type != b"application/json" or not charsets <= _CHARSETS:
        raise UnsupportedMediaType("The content-type must be application/json, in UTF-8.")
    if _value(headers, b"content-encoding") not in (b"", b"identity", *_CODINGS):
        raise UnsupportedMediaType("The content-encoding must be identity, gzip or deflate.")


def _declares_body(headers: Headers) -> bool:
    return _declared_length(headers) > 0 or bool(_value(headers, b"transfer-encoding"))


def _declared_length(headers: Headers) -> int:
    value = _value(headers, b"content-length")
    if value and not (value.isdigit() and len(value) < 20):
        raise InvalidRequest("The content-length is not a number of bytes.")
    return int(value or b"0")


def _value(headers: Headers, name: bytes) -> bytes:
    """All values of a header, joined as RFC 9110, 5.3 has it, in lower case."""
    return b", ".join(value for key, value in headers if key == name).strip().lower()


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
