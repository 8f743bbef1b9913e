from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter

import pytest

from tidegate.stores.redis.link import cluster
from tidegate.stores.redis.link.cluster import slots_of
from tidegate.stores.redis.url import parse

pytestmark = pytest.mark.anyio


async def test_a_member_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nobody would ask another one where the slots are."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.1)

    async def greet(reader: StreamReader, writer: StreamWriter) -> None:
        while b"SLOTS" not in (asked := await reader.read(1000)) and asked:
            writer.write(b"$0\r\n\r\n" if b"INFO" in asked else b"+OK\r\n" * asked.count(b"*"))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as member:
        place = parse(f"redis+cluster://127.0.0.1:{member.sockets[0].getsockname()[1]}")
        asking = asyncio.ensure_future(slots_of(place, place.hosts[0]))
        done, _ = await asyncio.wait((asking,), timeout=1)
        assert done, "it waits for ever"
        assert isinstance(asking.exception(), TimeoutError)
