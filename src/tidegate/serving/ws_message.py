"""Assembles WebSocket messages from their frames, and makes frames of them."""

from __future__ import annotations

import codecs
from typing import Literal

from uvicorn._types import ASGIReceiveEvent, WebSocketReceiveEvent, WebSocketSendEvent

from tidegate.core.ws_frame import BINARY, TEXT, frame

_utf8 = codecs.getincrementaldecoder("utf-8")


def event_of(message: str | bytes) -> WebSocketReceiveEvent:
    """The message of ASGI in which a whole message is received."""
    if isinstance(message, str):
        return {"type": "websocket.receive", "text": message}
    return {"type": "websocket.receive", "bytes": message}


def is_content(message: ASGIReceiveEvent) -> bool:
    """Whether a message of ASGI is one that the client has sent."""
    return message["type"] == "websocket.receive"


def frame_of(message: WebSocketSendEvent) -> bytes:
    """The frame of a whole message of ASGI, as servers send it."""
    text = message.get("text")
    return frame(TEXT, text.encode()) if text is not None else frame(BINARY, message.get("bytes") or b"")


class Assembly:
    """The message that is arriving; `pieces` counts its fragments so far.

    Bad UTF-8 is refused with the fragment that makes it bad (RFC 6455, 8.1).
    """

    __slots__ = ("_check", "_data", "pieces")

    def __init__(self) -> None:
        # Not a list of fragments: empty ones would make it grow without counting towards any limit.
        self._data = bytearray()
        self.pieces = 0
        self._check: codecs.IncrementalDecoder | None = None

    def __len__(self) -> int:
        """Bytes of the message that have arrived in fragments."""
        return len(self._data)

    def add(self, data: bytes | bytearray, *, begins: Literal["text", "bytes"] | None, fin: bool) -> str | bytes | None:
        """Adds a fragment, and returns the message if it is the last. Raises `UnicodeDecodeError`.

        `begins` is the kind of the message with its first fragment, None with the others.
        """
        if begins is not None:
            if fin:
                return data.decode() if begins == "text" else bytes(data)
            self._check = _utf8() if begins == "text" else None
        if self._check is not None:
            self._check.decode(data, fin)
        self.pieces += 1
        self._data += data
        return self._take() if fin else None

    def _take(self) -> str | bytes:
        whole, self._data, self.pieces = self._data, bytearray(), 0
        return bytes(whole) if self._check is None else whole.decode()
