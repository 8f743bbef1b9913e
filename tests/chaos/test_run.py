from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from .draws import draw
from .history import History
from .run import read_log
from .world import World

pytestmark = pytest.mark.anyio

AWAY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
SENT_AWAY = 'event: reconnect\ndata: {"after_ms": 10}\n\n'
LOG = 'id: a-1\nevent: started\ndata: {}\n\nid: a-2\nevent: completed\ndata: {"finish_reason": "stop"}\n\n'


def stream_of(events: str) -> bytes:
    body = events.encode()
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def test_a_log_is_read_when_it_can_be() -> None:
    """A node that says to come back, as while it finds its way to a Redis that was away, has lost nothing by that."""
    answers = [AWAY, stream_of(SENT_AWAY), stream_of(LOG)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        node = cast("Any", SimpleNamespace(port=port, url=f"http://127.0.0.1:{port}"))
        world = World(draw(1), [node], History(1, lease_seconds=1.0))
        await read_log(world, "gen_1")
    (log,) = world.history.logs
    assert [event.type for event in log.events] == ["started", "completed"]
    assert (world.history.problems, answers) == ([], [])
