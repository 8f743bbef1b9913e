"""Clients that have ended their side of a connection."""

from __future__ import annotations

import asyncio
import socket

DEADLINE_SECONDS = 5.0


async def all_of(client: socket.socket) -> bytes:
    """What comes until the server closes. The socket does not block. Raises `TimeoutError`."""
    loop, found = asyncio.get_running_loop(), b""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while piece := await loop.sock_recv(client, 65536):
            found += piece
    return found
