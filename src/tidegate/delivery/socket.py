"""One WebSocket through ASGI: messages in, messages out, and a close."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Send

from tidegate.core.close_code import WRONG_KIND


class SocketClosed(Exception):
    """The connection is over: its client has left, or it was closed from here."""


class Socket:
    """`binary`: whether messages are binary, or text. Any task may send; a single one receives."""

    __slots__ = ("_binary", "_receive", "_send", "_sending", "closed")

    def __init__(self, receive: Receive, send: Send, *, binary: bool) -> None:
        self._receive = receive
        self._send = send
        self._binary = binary
        self._sending = asyncio.Lock()
        self.closed = False

    async def accept(self, subprotocol: str | None) -> None:
        """Answers the handshake. Raises `SocketClosed`."""
        if (await self._receive())["type"] != "websocket.connect":
            raise SocketClosed
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    def sends(self, send: Send) -> None:
        """Sends by `send` from here on, and is given what is received, as `content`."""
        self._send, self._receive = send, _nothing

    async def receive(self) -> bytes:
        """The next message. Raises `SocketClosed`; a message of the wrong kind closes the socket (RFC 6455, 7.4.1)."""
        return await self.content(await self._receive())

    async def content(self, message: Message) -> bytes:
        """The content of a message that was received; as `receive`."""
        if message["type"] != "websocket.receive":
            self.closed = True
            raise SocketClosed
        text: str | None = message.get("text")
        if (text is None) is not self._binary:
            await self.close(WRONG_KIND, "messages of this subprotocol are " + ("binary" if self._binary else "text"))
            raise SocketClosed
        return message["bytes"] if text is None else text.encode()

    async def send(self, payload: bytes) -> None:
        """Sends one message. Raises `SocketClosed`."""
        async with self._sending:
            if self.closed:
                raise SocketClosed
            content = {"bytes": payload} if self._binary else {"text": payload.decode()}
            try:
                await self._send({"type": "websocket.send", **content})
            except (OSError, RuntimeError):
                # Servers differ in what they raise once the client is gone.
                self.closed = True
                raise SocketClosed from None

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the socket, once."""
        if not self.closed:
            self.closed = True
            try:
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
            except (OSError, RuntimeError):
                return


async def _nothing() -> Message:
    raise SocketClosed
