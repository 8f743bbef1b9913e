from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tidegate.listening import bind, bind_each, close_all
from tidegate.serving.listeners import Listeners

pytestmark = pytest.mark.anyio


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def server() -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[])
    yield server
    await server.shutdown()


async def asked(sock: socket.socket) -> bytes:
    """The status line that is answered at this socket's address; empty where the connection is not answered."""
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    try:
        async with asyncio.timeout(0.2):
            return (await reader.read()).partition(b"\r\n")[0]
    except TimeoutError:
        return b""
    finally:
        writer.close()


async def test_a_server_may_listen_elsewhere_while_it_runs(server: uvicorn.Server) -> None:
    """And no more after that: who comes then waits for whoever else has the socket, and is not refused."""
    listeners, first, second = Listeners(server), bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    await listeners.open(0, first)
    assert await asked(first[0]) == b"HTTP/1.1 204 No Content"
    await listeners.open(1, second)
    await listeners.open(1, second)
    assert listeners.numbers == {0, 1}
    assert await asked(second[0]) == b"HTTP/1.1 204 No Content"
    listeners.close(1)
    listeners.close(1)
    assert listeners.numbers == {0}
    assert await asked(second[0]) == b""
    assert await asked(first[0]) == b"HTTP/1.1 204 No Content"
    close_all([*first, *second])


async def test_what_waits_at_a_socket_is_served_by_whoever_takes_it_over(server: uvicorn.Server) -> None:
    """It came while nobody accepted, as where a worker has died."""
    (mine, theirs), listeners = bind_each("127.0.0.1", 0, 2), Listeners(server)
    theirs[0].listen()
    waiting = asyncio.create_task(asyncio.open_connection(*theirs[0].getsockname()))
    _, writer = await waiting
    assert listeners.numbers == set()
    await listeners.open(1, theirs)
    assert await asked(theirs[0]) == b"HTTP/1.1 204 No Content"
    writer.close()
    close_all([*mine, *theirs])


async def test_a_server_that_is_about_to_end_takes_nobody_elses(server: uvicorn.Server) -> None:
    """It would close them at once."""
    listeners, sockets = Listeners(server), bind("127.0.0.1", 0)
    server.should_exit = True
    await listeners.open(0, sockets)
    assert listeners.numbers == set()
    close_all(sockets)
