"""The protocol of WebSockets, which is imported with the first of them.

It brings `websockets`: 1.8 MB, and some 15 ms before the server is ready, which are better spent once somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from tidegate.serving.budget import Budget
from tidegate.serving.ws_heart import HeartRates

if TYPE_CHECKING:
    from tidegate.serving.ws_protocol import SocketProtocol

MakeSocket = Callable[..., "SocketProtocol"]
"""Makes the protocol of one WebSocket, from what `SocketProtocol` is made of."""


def ws_on_demand(*, max_message_bytes: int, send_buffer_bytes: int, rates: HeartRates, budget: Budget) -> MakeSocket:
    """As `ws_protocol`, for `uvicorn.Config(http=http_protocol(…), ws=…)`."""

    @cache
    def protocol() -> type[SocketProtocol]:
        from tidegate.serving.ws_protocol import ws_protocol

        return ws_protocol(
            max_message_bytes=max_message_bytes, send_buffer_bytes=send_buffer_bytes, rates=rates, budget=budget
        )

    def make(**connection: Any) -> SocketProtocol:
        return protocol()(**connection)

    return make
