"""WebSocket frames (RFC 6455, 5.2). A server's frames are final and unmasked, and so the same for all readers.

This is four times as fast as building and serializing a `websockets.frames.Frame`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TEXT = 0x1
BINARY = 0x2

MOST_HEAD = 14
"""The most bytes before the payload of a frame."""

_FINAL = 0x80
_MASKED = 0x80
_CONTROL = 0x08
_SHORT = struct.Struct("!BB").pack
_MEDIUM = struct.Struct("!BBH").pack
_LONG = struct.Struct("!BBQ").pack


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message as a frame. Raises `ValueError` for a control frame (opcode from 8) of more than 125 bytes."""
    size = len(payload)
    if size < 126:
        return _SHORT(_FINAL | opcode, size) + payload
    if opcode >= 0x8:
        raise ValueError(f"the payload of a control frame has at most 125 bytes, not {size}")
    if size < 65536:
        return _MEDIUM(_FINAL | opcode, 126, size) + payload
    return _LONG(_FINAL | opcode, 127, size) + payload


class FrameHead(NamedTuple):
    """The head of a frame: its `size` with the head and without (`payload`) in bytes; whether it is a control frame."""

    size: int
    payload: int
    control: bool


def read_head(data: bytes) -> FrameHead | None:
    """The head at the beginning of `data`; None if `data` has only a part of it. The head is not validated."""
    if len(data) < 2:
        return None
    short = data[1] & 0x7F
    extended = {126: 2, 127: 8}.get(short, 0)
    head = 2 + extended + (4 if data[1] & _MASKED else 0)
    if len(data) < head:
        return None
    payload = int.from_bytes(data[2 : 2 + extended], "big") if extended else short
    return FrameHead(head + payload, payload, bool(data[0] & _CONTROL))
