from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tidegate import Tidegate
from tidegate.config import ServerSettings, Settings, StoreSettings
from tidegate.core.batching import BatchPolicy
from tidegate.core.events import GenerationRequest, Message
from tidegate.core.principal import Principal
from tidegate.observe.gauges import Gauges

pytestmark = pytest.mark.anyio

ANNA = Principal("key:anna", frozenset({"generate", "read", "cancel", "subscribe"}))
SETTINGS = Settings(server=ServerSettings(drain_seconds=0), store=StoreSettings(url="memory://"), models=())


def shown(gauges: Gauges) -> dict[str, int]:
    """What does not show 0, by its name and the values of its labels."""
    return {" ".join([each.name, *each.labels.values()]): each.value for each in gauges.readings() if each.value}


async def test_gauges_show_what_there_is() -> None:
    """Live streams, readers and connections by transport, topics: each while it is there."""

    async def hang(_: GenerationRequest) -> AsyncIterator[str]:
        yield "Well, "
        await asyncio.Event().wait()

    app = Tidegate(SETTINGS, models={"m": hang})
    await app.start()
    assert shown(app) == {}
    request = GenerationRequest(model="m", messages=(Message(role="user", content="q"),))
    handle = await app.service.start(request, owner=ANNA, grace=None)
    reader = await app.service.follow(handle.stream, ANNA, after=None, batch=BatchPolicy(), transport="sse")
    member, _ = await app.service.topics.subscribe("t", ANNA, after="latest", transport="websocket")
    reader.behind = True
    with app.registry.open(transport="sse", address="127.0.0.1") as connection:
        connection.serve()
        assert shown(app) == {
            "streams_live": 1,
            "readers sse": 1,
            "readers websocket": 1,
            "readers_behind": 1,
            "connections sse active": 1,
            "topics": 1,
        }
    reader.close()
    member.close()
    await app.drain()
    await app.close()
    assert shown(app).keys() <= {"topics"}


async def test_a_gauge_is_there_before_there_is_anything() -> None:
    """Each name with each of its labels shows 0 from the start, the queues of all models among them."""
    app = Tidegate(SETTINGS, models={"m": print, "n": print})
    readings = list(app.readings())
    assert {each.name for each in readings} == {
        "streams_live",
        "generations_queued",
        "readers",
        "readers_behind",
        "connections",
        "topics",
    }
    assert [each.labels for each in readings if each.name == "generations_queued"] == [{"model": "m"}, {"model": "n"}]
    assert {each.value for each in readings} == {0}
    await app.close()
