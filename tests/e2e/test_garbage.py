"""What a call has held is given back with its end, not some time later when garbage is collected.

A request may be megabytes: a few dozen that keep each other alive in a circle are a gigabyte before the collector,
which counts objects and not bytes, comes to look at them.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from api_kit import fetch
from eventually_kit import eventually
from socket_kit import CallFailed
from socket_kit import socket as websocket

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings, StoreSettings
from tidegate.core.events import GenerationRequest
from tidegate.errors import ProviderError
from tidegate.providers.settings import ReplayModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

TEXT = "x" * 500_000
TIMES = 10

Ask = Callable[[str], Awaitable[object]]


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


async def post(url: str, path: str, body: dict[str, Any], expected: int) -> None:
    status, headers, _ = await fetch(url + path, "POST", body)
    assert status == expected
    if "location" in headers:
        assert (await fetch(url + headers["location"], "DELETE"))[0] == 204


async def refused(url: str) -> None:
    await post(url, "/v1/streams", {"model": "replay", "prompt": TEXT, "temperature": "high"}, 400)


async def of_no_model(url: str) -> None:
    await post(url, "/v1/streams", {"model": "nobody", "prompt": TEXT}, 404)


async def too_large_to_keep(url: str) -> None:
    await post(url, "/v1/streams", {"model": "replay", "prompt": TEXT * 3}, 429)


async def answered(url: str) -> None:
    await post(url, "/v1/streams", {"model": "replay", "prompt": TEXT}, 200)


async def answered_like_openai(url: str) -> None:
    messages = [{"role": "user", "content": TEXT}]
    await post(url, "/v1/chat/completions", {"model": "replay", "messages": messages}, 200)


async def failed(url: str) -> None:
    await post(url, "/v1/streams", {"model": "broken", "prompt": TEXT}, 502)


async def left_alone(url: str) -> None:
    await post(url, "/v1/streams", {"model": "slow", "prompt": TEXT, "background": True}, 202)


async def published_in_vain(url: str) -> None:
    await post(url, "/v1/topics/t/messages", {"data": TEXT, "type": "delta"}, 400)


async def by_socket(url: str) -> None:
    async with websocket(url) as client:
        created = await client.call("create", model="replay", prompt=TEXT)
        while (await client.event())["type"] != "completed":
            pass
        with pytest.raises(CallFailed):
            await client.call("create", model="replay", prompt=TEXT, temperature="high")
        with pytest.raises(CallFailed):
            await client.call("publish", topic="t", data=TEXT, type="delta")
    await fetch(f"{url}/v1/streams/{created['stream']}", "DELETE")


async def broken(request: GenerationRequest) -> AsyncIterator[str]:
    yield "a"
    raise ProviderError(request.prompt[:10])


async def slow(_: GenerationRequest) -> AsyncIterator[str]:
    yield "a"
    await asyncio.Event().wait()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize(
    "ask",
    [
        refused,
        of_no_model,
        too_large_to_keep,
        answered,
        answered_like_openai,
        failed,
        left_alone,
        published_in_vain,
        by_socket,
    ],
)
async def test_nothing_of_a_call_waits_for_the_collector(ask: Ask) -> None:
    """Whether it was answered or refused."""
    app = Tidegate(
        Settings(
            store=StoreSettings(url="memory://"),
            models=(ReplayModel(name="replay", text="a b c", tokens=3, rate=0),),
            limits=LimitSettings(requests_per_minute=0, max_stored_bytes_per_principal=2 * len(TEXT)),
        ),
        models={"broken": broken, "slow": slow},
    )
    async with serving(app) as url:
        await ask(url)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(TIMES):
            await ask(url)
        # Tasks have to end.
        await eventually(lambda: tracemalloc.get_traced_memory()[0] - before <= len(TEXT))
    await app.close()
