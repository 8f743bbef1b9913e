"""Two applications over one memory store, each on a port of its own: either serves any caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from api_kit import call, fetch
from socket_kit import socket as websocket

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings, StoreSettings
from tidegate.core.events import GenerationRequest
from tidegate.stores.memory import MemoryStore
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

SETTINGS = Settings(
    store=StoreSettings(url="memory://", lease_seconds=1),
    models=(),
    limits=LimitSettings(requests_per_minute=60, burst=8),
)


class Nodes(NamedTuple):
    """Their URLs, and what lets their model go on."""

    near: str
    far: str
    go: asyncio.Event


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    store, go = MemoryStore(max_generation_bytes=1 << 20), asyncio.Event()

    async def answer(_: GenerationRequest) -> AsyncIterator[str]:
        yield "Well, "
        await go.wait()
        yield "then."

    apps = [Tidegate(SETTINGS, models={"m": answer}, store=store) for _ in range(2)]
    async with serving(apps[0]) as near, serving(apps[1]) as far:
        yield Nodes(near, far, go)
    for app in apps:
        await app.close()


async def begun(nodes: Nodes) -> str:
    """The path of a stream of the near node, which has its first piece."""
    body = {"model": "m", "prompt": "q", "background": True}
    _, headers, _ = await fetch(f"{nodes.near}/v1/streams", "POST", body)
    async with call(f"{nodes.near}{headers['location']}/events") as answer:
        async for event in answer.events():
            if event.event == "delta":
                break
    return headers["location"]


async def test_a_reader_comes_back_to_the_other_node(nodes: Nodes) -> None:
    """With the id of the last event that it had, over whichever transport; nothing is lost or doubled."""
    path = await begun(nodes)
    async with call(f"{nodes.near}{path}/events") as answer:
        events = answer.events()
        last = [await anext(events), await anext(events)][-1]
    async with websocket(nodes.far) as client:
        await client.call("attach", stream=path.rpartition("/")[2], after=last.id)
        nodes.go.set()
        assert [event["type"] for event in await client.until("completed")] == ["delta", "completed"]
    async with call(f"{nodes.far}{path}/events", headers={"last-event-id": last.id}) as answer:
        assert [event.event async for event in answer.events()] == ["delta", "completed"]


async def test_a_cancel_at_the_other_node(nodes: Nodes) -> None:
    """It is answered there with the end that won, and whoever reads has that end."""
    path = await begun(nodes)
    status, _, found = await fetch(f"{nodes.far}{path}/cancel", "POST", {"reason": "enough"})
    assert (status, found["status"]) == (200, "cancelled")
    _, _, snapshot = await fetch(f"{nodes.near}{path}")
    assert (snapshot["status"], snapshot["text"]) == ("cancelled", "Well, ")
    assert (await fetch(f"{nodes.far}{path}", "DELETE"))[0] == 204
    assert (await fetch(f"{nodes.near}{path}"))[0] == 404


async def test_one_bucket_of_requests(nodes: Nodes) -> None:
    """Whoever has used it up at one node has used it up at the other."""
    statuses = [(await fetch(f"{url}/v1/models"))[0] for _ in range(5) for url in (nodes.near, nodes.far)]
    assert statuses == [200] * 8 + [429] * 2
