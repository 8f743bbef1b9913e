"""What the calls of a WebSocket, and what it follows, need of their session."""

from __future__ import annotations

from collections.abc import Coroutine, MutableMapping
from typing import Any, Protocol

from tidegate.core.principal import Principal
from tidegate.delivery.socket import Socket
from tidegate.dialects import native_socket as dialect
from tidegate.dialects.native_socket import Codec
from tidegate.routes.call import Context
from tidegate.serving.registry import Connection
from tidegate.serving.ws_wire import SocketWire


class Desk(Protocol):
    """One session, as far as they look at it."""

    context: Context
    codec: Codec
    socket: Socket
    scope: MutableMapping[str, Any]
    wire: SocketWire | None
    principal: Principal | None
    connection: Connection

    @property
    def caller(self) -> Principal:
        """Who is calling. Raises `Unauthenticated` until that is known."""
        ...

    def admit(self, principal: Principal) -> None:
        """From here on this is who is calling."""
        ...

    async def send(self, value: object) -> None: ...

    async def refuse(self, id: dialect.CallId, error: Exception) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does it beside the calls that follow."""
        ...

    def failed(self, error: BaseException) -> None:
        """Something that should not happen did."""
        ...
