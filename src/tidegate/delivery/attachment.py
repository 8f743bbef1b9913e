"""Delivers one stream or topic over one WebSocket: straight to the connection, or through plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from tidegate.core.notices import Notice, Reconnect
from tidegate.delivery.broadcast import Broadcast
from tidegate.delivery.direct_delivery import Delivery
from tidegate.delivery.reader_port import ReaderPort
from tidegate.delivery.socket import Socket, SocketClosed
from tidegate.dialects.base import Dialect, SocketDialect
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.serving.ws_wire import SocketWire

SILENCE_SECONDS = 60.0
"""How often a waiting reader wakes up without events. Nothing is sent then, so the number matters little."""


Key = tuple[Literal["stream", "topic"], str]


class Attachment:
    """Pumps one reader into one socket until the stream's end, `close`, or the socket's end; then calls `over`, once.

    An exception of the reader's is handed to `over`. `key` names what is followed. The `state` of `deliver` and `send`
    is the dialect's state at the reader's position.
    """

    __slots__ = ("_delivery", "_over", "_sending", "key", "reader")

    def __init__(self, key: Key, reader: ReaderPort, over: Callable[[Attachment, BaseException | None], None]) -> None:
        self.key = key
        self.reader = reader
        self._over = over
        self._delivery: Delivery | None = None
        self._sending: asyncio.Task[None] | None = None

    def deliver(
        self,
        wire: SocketWire,
        dialect: Dialect[Any],
        state: Any,
        broadcast: Broadcast | None,
        *,
        buffer_bytes: int,
        heartbeat_seconds: float,
        meter: Deliveries,
    ) -> None:
        """Begins to deliver straight to the connection."""
        lane = wire.lane()
        self._delivery = Delivery(
            lane,
            self.reader,
            dialect,
            state,
            None,
            broadcast,
            limit=buffer_bytes,
            heartbeat_seconds=heartbeat_seconds,
            meter=meter,
        )
        self._delivery.over.add_done_callback(self._end)
        self._delivery.begin(b"")

    def send(self, socket: Socket, dialect: SocketDialect[Any], state: Any, meter: Deliveries) -> None:
        """Begins to deliver through ASGI."""
        self._sending = asyncio.get_running_loop().create_task(self._send(socket, dialect, state, meter))
        self._sending.add_done_callback(self._end)

    def close(self) -> None:
        """Ends the delivery."""
        if self._delivery is not None and not self._delivery.over.done():
            self._delivery.over.set_result(None)
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self, socket: Socket, dialect: SocketDialect[Any], state: Any, meter: Deliveries) -> None:
        reader = self.reader
        while not reader.at_end and not reader.left:
            found = await reader.next(SILENCE_SECONDS)
            if isinstance(found, Notice):
                meter.told(found)
                await socket.send(dialect.message(state, found))
            else:
                if found and reader.mergeable:
                    meter.merged(found)
                for message in dialect.messages(state, found or (), merge=reader.mergeable):
                    await socket.send(message)
            if isinstance(found, Reconnect):
                return

    def _end(self, done: asyncio.Future[None]) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        self.reader.close()
        error = None if done.cancelled() else done.exception()
        self._over(self, None if isinstance(error, SocketClosed) else error)
