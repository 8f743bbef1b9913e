"""A pool of idle connections to one server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tidegate.http_client.connection import ClientConnection

MAX_IDLE = 16
"""Enough for bursts to reuse connections, few enough not to leave hundreds of idle sockets at the server."""

REST_SECONDS = 0.02
"""How long a connection rests before it is reused. llama.cpp closes it after an event stream without announcing that,
up to 2.6 ms later as measured on busy cores; a request that comes sooner uses another connection."""

IDLE_SECONDS = 4.0
"""uvicorn, and so vLLM, closes idle connections after 5 s. A request that crosses such a close cannot be repeated: it
might be paid for twice."""

END_SECONDS = 0.25
"""How long the end of a response may take after its `[DONE]`. It comes in the same packet or the next one; if a server
leaves it out, the connection is not reused."""


class ConnectionPool:
    """`connect` opens a connection; an idle one is reused between `rest_seconds` and `idle_seconds` after its use."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[ClientConnection]],
        *,
        rest_seconds: float = REST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._connect = connect
        self._rest_seconds = rest_seconds
        self._idle_seconds = idle_seconds
        # By the time since when they are kept, the oldest first.
        self._idle: dict[ClientConnection, float] = {}
        self._ending: dict[ClientConnection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self) -> ClientConnection:
        """An idle connection, the newest first, or a new one. Raises what `connect` raises."""
        now = asyncio.get_running_loop().time()
        for connection, since in reversed(tuple(self._idle.items())):
            if now - since < self._rest_seconds:
                continue
            del self._idle[connection]
            # A busy loop may not have run the timer yet, nor read what has arrived.
            if now - since < self._idle_seconds and connection.persistent and not connection.readable():
                return connection
            connection.abort()
        connection = await self._connect()
        connection.over = self._over
        return connection

    def give_back(self, connection: ClientConnection) -> None:
        """Keeps the connection, once its response is complete, or closes it if it cannot be reused."""
        if self._closed or not connection.persistent:
            connection.abort()
            return
        kept = self._idle if connection.complete else self._ending
        kept[connection] = asyncio.get_running_loop().time()
        if len(self._idle) > MAX_IDLE:
            # Not the oldest: with many coming back at once, none would ever have rested.
            _close(self._idle, connection)
        self._set_timer()

    def close(self) -> None:
        """Closes all kept connections; from now on none is kept."""
        self._closed = True
        for kept in (self._ending, self._idle):
            for connection in tuple(kept):
                _close(kept, connection)
        self._stop_timer()

    def _over(self, connection: ClientConnection) -> None:
        # No response ends on an idle connection, so an idle one is lost.
        self._idle.pop(connection, None)
        if self._ending.pop(connection, None) is not None:
            self.give_back(connection)

    # One timer for all connections

    def _set_timer(self) -> None:
        due = [next(iter(kept.values())) + seconds for kept, seconds in self._limits() if kept]
        if not due or (self._timer is not None and self._timer.when() <= min(due)):
            return
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_at(min(due), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for kept, seconds in self._limits():
            for connection, since in tuple(kept.items()):
                if since + seconds <= now:
                    _close(kept, connection)
        self._set_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _limits(self) -> tuple[tuple[dict[ClientConnection, float], float], ...]:
        return (self._ending, END_SECONDS), (self._idle, self._idle_seconds)


def _close(kept: dict[ClientConnection, float], connection: ClientConnection) -> None:
    del kept[connection]
    connection.abort()
