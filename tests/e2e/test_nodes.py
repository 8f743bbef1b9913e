"""Two applications over one memory store, or on one Redis, each on a port of its own: either serves any caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from api_kit import call, fetch
from eventually_kit import eventually
from redis_store_kit import redis_store
from socket_kit import socket as websocket

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings, StoreSettings
from tidegate.core.events import GenerationRequest
from tidegate.stores.base import Store
from tidegate.stores.memory import MemoryStore
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

SETTINGS = Settings(
    store=StoreSettings(url="memory://", lease_seconds=1),
    models=(),
    limits=LimitSettings(requests_per_minute=60, burst=100),
)


class Nodes(NamedTuple):
    """Their URLs, what lets their model go on, and the store of a third one, which is not there yet."""

    near: str
    far: str
    go: asyncio.Event
    store: Store


@pytest.fixture(params=["memory", "redis"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    go = asyncio.Event()
    stores: list[Store] = [MemoryStore(max_generation_bytes=1 << 20)] * 3
    if request.param == "redis":
        stores = [redis_store(request.getfixturevalue("redis_url")) for _ in range(3)]

    async def answer(_: GenerationRequest) -> AsyncIterator[str]:
        yield "Well, "
        await go.wait()
        yield "then."

    apps = [Tidegate(SETTINGS, models={"m": answer}, store=store) for store in stores[:2]]
    for app in apps:
        await app.start()
    await eventually(lambda: all(app.service.node._cluster.others == 1 for app in apps))
    async with serving(apps[0]) as near, serving(apps[1]) as far:
        yield Nodes(near, far, go, stores[2])
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


async def connected(url: str, count: int) -> dict[str, Any]:
    """What operators are told of connections, once those that have left are gone."""
    told: dict[str, Any] = {}

    async def are_there() -> bool:
        told.update((await fetch(f"{url}/v1/admin/connections"))[2])
        return len(told["data"]) == count

    await eventually(are_there)
    return told


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


async def test_readers_are_counted_over_both_nodes(nodes: Nodes) -> None:
    """Either node says how many there are, whatever their transport, and whether they own the stream or were shown it;
    when they have left, and once the stream has ended, there are none."""
    path = await begun(nodes)

    async def says(count: int) -> None:
        async def both_say() -> bool:
            return [(await fetch(f"{url}{path}/readers"))[::2] for url in nodes[:2]] == [(200, {"readers": count})] * 2

        await eventually(both_say, within=20)

    await says(0)
    _, _, share = await fetch(f"{nodes.near}{path}/share", "POST")
    guest = {"authorization": f"Bearer {share['token']}"}
    async with AsyncExitStack() as open_:
        await open_.enter_async_context(call(f"{nodes.near}{path}/events"))
        await says(1)
        await open_.enter_async_context(call(f"{nodes.far}{path}/events", headers=guest))
        socket = await open_.enter_async_context(websocket(nodes.far))
        await socket.call("attach", stream=path.rpartition("/")[2])
        await says(3)
        await socket.call("detach", stream=path.rpartition("/")[2])
        await says(2)
    await says(0)
    async with call(f"{nodes.far}{path}/events"):
        await says(1)
        nodes.go.set()
        await says(0)
    assert (await fetch(f"{nodes.near}{path}"))[2]["status"] == "completed"


async def test_operators_see_both_nodes_from_either(nodes: Nodes) -> None:
    """Who is connected where, newest first, with its lag; which node fills a stream, and how many read it at all."""
    path = await begun(nodes)
    stream = path.rpartition("/")[2]
    async with AsyncExitStack() as open_:
        for url in (nodes.near, nodes.far):
            await anext((await open_.enter_async_context(call(f"{url}{path}/events"))).events())
            opened = time.time()
            await eventually(lambda until=opened + 0.01: time.time() > until)
        seen = await connected(nodes.near, 2)
        assert (await connected(nodes.far, 2))["data"][0]["id"] == seen["data"][0]["id"]
        newest, oldest = seen["data"]
        assert newest["opened_at"] >= oldest["opened_at"]
        assert newest["node"] != oldest["node"]
        assert [each["streams"][0]["lag"] for each in seen["data"]] == [0, 0]
        assert (seen["has_more"], seen["unanswered"]) == (False, 0)
        _, _, page = await fetch(f"{nodes.far}/v1/admin/connections?limit=1")
        assert ([each["id"] for each in page["data"]], page["has_more"]) == ([newest["id"]], True)
        for url in (nodes.near, nodes.far):
            (shown,) = (await fetch(f"{url}/v1/admin/streams"))[2]["data"]
            assert (shown["id"], shown["readers"], shown["node"]) == (stream, 2, oldest["node"])
    nodes.go.set()
    async with call(f"{nodes.near}{path}/events") as answer:
        assert [event.event async for event in answer.events()][-1] == "completed"
    (shown,) = (await fetch(f"{nodes.far}/v1/admin/streams"))[2]["data"]
    assert shown["node"] is None


async def test_a_connection_is_closed_from_the_other_node(nodes: Nodes) -> None:
    """Its client is told to come back, as by its own node; one that no node has is not found."""
    path = await begun(nodes)
    async with call(f"{nodes.near}{path}/events") as answer:
        events = answer.events()
        await anext(events)
        (shown,) = (await connected(nodes.far, 1))["data"]
        assert (await fetch(f"{nodes.far}/v1/admin/connections/{shown['id']}/close", "POST"))[0] == 204
        assert [event.event async for event in events][-1] == "reconnect"
    await connected(nodes.near, 0)
    assert (await fetch(f"{nodes.far}/v1/admin/connections/{shown['id']}/close", "POST"))[0] == 404


@pytest.mark.parametrize("said", [None, b"nonsense", b"[1]"])
async def test_a_node_that_does_not_answer_is_counted(nodes: Nodes, said: bytes | None) -> None:
    """One that hangs, and one of another version, whose words mean nothing here; the others are listed all the same."""
    await nodes.store.open()
    third = nodes.store.join("third", 60)
    await third.renew()
    if said is not None:
        third.answer(lambda _: said)
    for what in ("connections", "streams"):

        async def is_counted(what: str = what) -> bool:
            status, _, seen = await fetch(f"{nodes.near}/v1/admin/{what}")
            return (status, seen) == (200, {"data": [], "has_more": False, "unanswered": 1})

        await eventually(is_counted)
    await third.leave()
    if third.is_last:
        await nodes.store.close()


async def test_one_bucket_of_requests(nodes: Nodes) -> None:
    """Whoever has used it up at one node has used it up at the other."""
    began = time.monotonic()
    statuses: list[int] = []
    waits: list[float] = []

    async def both_refuse() -> bool:
        for url in (nodes.near, nodes.far):
            status, headers, _ = await fetch(f"{url}/v1/models")
            statuses.append(status)
            if status == 429:
                waits.append(float(headers["retry-after"]))
        return statuses[-2:] == [429, 429]

    # Each learns some milliseconds later what the other has let in.
    await eventually(both_refuse)
    assert statuses[:100] == [200] * 100
    # Each second brings another one. What both have let in before they knew of each other is waited for.
    assert statuses.count(200) <= 101 + time.monotonic() - began + waits[-1]
