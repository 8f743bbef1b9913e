"""What `socket_calls` and `socket_follows` need of the session of their WebSocket."""

from __future__ import annotations

from collections.abc import Coroutine, MutableMapping
from typing import Any, Protocol

import msgspec

from tidegate.core.principal import Principal
from tidegate.delivery.socket import Socket
from tidegate.dialects import native_socket as dialect
from tidegate.dialects.native_socket import Codec
from tidegate.routes.call import Context
from tidegate.serving.registry import Connection
from tidegate.serving.ws_wire import SocketWire


class Desk(Protocol):
    """As much of a session as these two use."""

    context: Context
    codec: Codec
    socket: Socket
    scope: MutableMapping[str, Any]
    wire: SocketWire | None
    principal: Principal | None
    connection: Connection

    @property
    def caller(self) -> Principal:
        """The caller. Raises `Unauthenticated` until it is known."""
        ...

    def admit(self, principal: Principal) -> None:
        """Makes `principal` the caller from here on. Raises `TooManyConnections`."""
        ...

    async def send(self, value: object) -> None: ...

    async def refuse(self, id: dialect.CallId, error: Exception) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the background of further calls."""
        ...

    def failed(self, error: BaseException) -> None:
        """Observes an error that should not happen."""
        ...


def viewer(desk: Desk) -> Principal:
    """The caller for readers, without expiry: the connection handles expired credentials. Raises `Unauthenticated`."""
    return msgspec.structs.replace(desk.caller, expires_at=None)
