"""A socket on loopback whose connections a protocol class serves, without the rest of uvicorn's server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

App = Callable[[Any, Any, Any], Awaitable[None]]


@asynccontextmanager
async def listening(app: App, protocol: Any, **settings: Any) -> AsyncIterator[tuple[int, ServerState]]:
    """Yields the port, and what uvicorn knows of the connections; at the end these are cut, and their calls cancelled.

    `settings` are uvicorn's. Raises what a call has raised.
    """
    settings = {"ws": "none", "lifespan": "off", "log_config": None, "access_log": False, **settings}
    config = uvicorn.Config(app, http=protocol, **settings)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], state
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        for raised in await asyncio.gather(*state.tasks, return_exceptions=True):
            if isinstance(raised, Exception):
                raise raised
