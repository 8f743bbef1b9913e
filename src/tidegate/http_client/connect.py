"""Opens connections to a server: TCP, and TLS where its URL asks for it, within a deadline."""

from __future__ import annotations

import asyncio

from tidegate.http_client.connection import ClientConnection
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import failure
from tidegate.http_client.tls import tls


async def connect(endpoint: Endpoint, seconds: float) -> ClientConnection:
    """Opens a connection, TLS included, within `seconds`. Raises `HttpError`: then no request has been sent."""
    loop = asyncio.get_running_loop()
    context = tls() if endpoint.scheme == "https" else None
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(ClientConnection, endpoint.host, endpoint.port, ssl=context)
    except (OSError, UnicodeError) as error:
        raise failure(error) from error
    return connection
