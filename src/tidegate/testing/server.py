"""Serves an application for a test, over real sockets on loopback, on the product's protocol classes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.serving.budget import Budget
from tidegate.serving.http_protocol import http_protocol
from tidegate.serving.wire import EXTENSION
from tidegate.serving.ws_protocol import SocketProtocol

LEAVE_SECONDS = 1.0
"""How long calls are waited for whose connections are closed."""


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    max_header_bytes: int = 65536,
    request_timeout_seconds: float = 30,
    ws: type[SocketProtocol] = SocketProtocol,
    budget: Budget | None = None,
    wire: bool = True,
) -> AsyncGenerator[str]:
    """Serves `app` in the running loop and yields its URL, without a slash at its end.

        async with serving(Tidegate(models={"agent": answer})) as url: ...

    `ws` is a class made by `ws_protocol`, for limits of WebSockets other than the usual ones; `budget` is shared by all
    connections, and has no limits by default.
    Without `wire` events go through ASGI's `send`, as under a server that is not tidegate's own.
    At the end connections are closed at once; the caller closes the application.
    """
    budget = budget or Budget()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app if wire else _without_wire(app),
        http=http_protocol(max_header_bytes, request_timeout_seconds, budget=budget),
        ws=type("SocketProtocol", (ws,), {"budget": budget}),
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ticking.cancel()
        await _close(server)
        listening.close()


async def _close(server: uvicorn.Server) -> None:
    """Closes the connections, and waits for their calls.

    uvicorn's `shutdown` would look for them ten times a second, and a suite has hundreds of servers.
    """
    for each in server.servers:
        each.close()
    state = server.server_state
    for connection in tuple(state.connections):
        connection.transport.abort()
    # The loop tells connections in its next turn that they are lost, and they their calls.
    await asyncio.sleep(0)
    if calls := tuple(state.tasks):
        _, left = await asyncio.wait(calls, timeout=LEAVE_SECONDS)
        for call in left:
            call.cancel()


def _without_wire(app: ASGIApp) -> ASGIApp:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, Any] = {**scope.get("extensions", {})}
        extensions.pop(EXTENSION, None)
        await app({**scope, "extensions": extensions}, receive, send)

    return plain
