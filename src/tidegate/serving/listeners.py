"""The sockets through which a running server takes connections; they may change while it runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn

DOORS = 16
"""Duplicates of each listening socket. libuv accepts one connection per socket in a turn of the loop, and a turn takes
some 20 ms when many clients are busy: with one socket new clients would wait for seconds."""

BACKLOG = 4096
"""Connections that may wait to be accepted: after a restart all readers come at once. Linux's own limit is
net.core.somaxconn."""


class Listeners:
    """Groups of listening sockets, by number, at one server of uvicorn that was started without sockets."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server
        self._open: dict[int, list[asyncio.Server]] = {}

    async def open(self, number: int, sockets: Sequence[socket.socket]) -> None:
        """Takes connections from these sockets, too, which stay the caller's. Raises `OSError` where it cannot listen.

        Harmless where the group is open, and where the server is about to end.
        """
        if number in self._open or self._server.should_exit:
            return
        doors = self._open[number] = list[asyncio.Server]()
        for each in sockets:
            for _ in range(DOORS):
                doors.append(await self._listen(each.dup()))

    def close(self, number: int) -> None:
        """Takes no more connections from the group; those that were accepted go on. Harmless where it is not open."""
        for door in self._open.pop(number, ()):
            door.close()
            self._server.servers.remove(door)

    @property
    def numbers(self) -> set[int]:
        """The groups that are open."""
        return set(self._open)

    async def _listen(self, door: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            listening = await loop.create_server(self._protocol, sock=door, backlog=BACKLOG)
        except OSError:
            door.close()
            raise
        # uvicorn closes these at its end.
        self._server.servers.append(listening)
        return listening

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self._server.config.http_protocol_class
        server = self._server
        return made(config=server.config, server_state=server.server_state, app_state=server.lifespan.state)
