"""Ends what open connections may not go on with, since their caller's key was withdrawn or narrowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidegate.core.notices import TOKEN_EXPIRED
from tidegate.core.principal import Principal
from tidegate.core.topic import PREFIX, is_topic
from tidegate.delivery.attachment import Key
from tidegate.routes.socket_rights import covers
from tidegate.serving.registry import Connection, Registry
from tidegate.streams.service import Service


class Withdrawal:
    """Compares the callers of open connections with what they may do `now`, which is None where that is nothing."""

    def __init__(self, service: Service, registry: Registry, now: Callable[[Principal], Principal | None]) -> None:
        self._service = service
        self._registry = registry
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()

    def look_at_all(self) -> None:
        """Looks at each open connection. The clients of those that are not covered any more are asked to come back."""
        for connection in self._registry:
            self.look_at(connection)

    def look_at(self, connection: Connection) -> None:
        """Looks at one connection, whose caller may have been authenticated by earlier keys."""
        before = connection.principal
        if before is None or (now := self._now(before)) == before:
            return
        if connection.renew is not None:
            connection.renew(now)
        elif now is None:
            self._send_away(connection)
        else:
            connection.principal = now
            task = asyncio.get_running_loop().create_task(self._narrow(connection, now))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stops looking."""
        for task in self._tasks:
            task.cancel()

    async def _narrow(self, connection: Connection, principal: Principal) -> None:
        keys = [_key(reader.stream) for reader in connection.readers]
        if not all([await covers(self._service, principal, key, connection.enough) for key in keys]):
            self._send_away(connection)

    def _send_away(self, connection: Connection) -> None:
        for reader in connection.readers:
            self._registry.send_away(reader, TOKEN_EXPIRED)


def _key(stream: str) -> Key:
    return ("topic", stream.removeprefix(PREFIX)) if is_topic(stream) else ("stream", stream)
