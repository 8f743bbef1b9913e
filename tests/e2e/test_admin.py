"""Who is connected, as an operator sees it: over real sockets, straight to the connection and through ASGI's `send`."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from api_kit import Answer, call, fetch
from eventually_kit import eventually

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings
from tidegate.providers.settings import PythonModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

CHAT = {"model": "tap", "messages": [{"role": "user", "content": "x"}]}
VANISHING = 600
TOGETHER = 50


class Tap:
    """A model that says what the test lets it say, and breaks on `!`."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[str] = asyncio.Queue()

    async def answer(self, request: Any) -> AsyncIterator[str]:
        while True:
            piece = await self.pieces.get()
            assert piece != "!"
            yield piece


@pytest.fixture(params=["direct", "fallback"])
def wire(request: pytest.FixtureRequest) -> bool:
    return request.param == "direct"


@asynccontextmanager
async def tapped(*, wire: bool = True) -> AsyncIterator[tuple[Tap, Tidegate, str]]:
    tap = Tap()
    limits = LimitSettings(requests_per_minute=0, readers_per_principal=0)
    app = Tidegate(Settings(models=(PythonModel(name="tap", target=tap.answer),), limits=limits))
    async with serving(app, wire=wire) as url:
        yield tap, app, url
        await app.close()


async def started(url: str) -> str:
    _, _, answer = await fetch(f"{url}/v1/streams", "POST", {"model": "tap", "prompt": "x", "background": True})
    return answer["id"]


async def seen(url: str, query: str = "") -> list[dict[str, Any]]:
    status, _, answer = await fetch(f"{url}/v1/admin/connections{query}")
    assert status == 200
    return answer["data"]


async def read_until(answer: Answer, text: bytes) -> None:
    async with asyncio.timeout(10):
        async for chunk in answer.chunks():
            if text in chunk:
                return


async def test_a_reader_is_shown_with_what_it_carries(wire: bool) -> None:
    """Whose it is, from where, since when, and where it stands in its stream."""
    async with tapped(wire=wire) as (tap, _, url):
        stream = await started(url)
        async with call(f"{url}/v1/streams/{stream}/events") as answer:
            await read_until(answer, b"event: started")
            tap.pieces.put_nowait("one")
            await read_until(answer, b"one")
            (shown,) = await seen(url)
        assert (shown["transport"], shown["state"]) == ("sse", "active")
        assert (shown["principal"], shown["address"]) == ("anonymous", "127.0.0.1")
        assert shown["opened_at"] > 1_700_000_000
        (carried,) = shown["streams"]
        assert (carried["id"], carried["lag"]) == (stream, 0)
        assert carried["cursor"].endswith("-2")
        if wire:
            assert shown["bytes_out"] > len("event: started") + len("event: delta")
            assert shown["bytes_in"] > len(f"GET /v1/streams/{stream}/events")
            assert 0 <= shown["idle_s"] < 10
        else:
            assert (shown["bytes_in"], shown["bytes_out"], shown["idle_s"]) == (None, None, None)


async def test_who_waits_for_a_whole_answer_is_shown_too() -> None:
    """A call that is answered at its end is a connection until then, and so is one whose upstream has not answered."""
    async with tapped() as (_, app, url), AsyncExitStack() as calls:
        for path, body in (
            ("/v1/streams", {"model": "tap", "prompt": "x"}),
            ("/v1/chat/completions", CHAT),
            ("/v1/chat/completions", {**CHAT, "stream": True}),
        ):
            task = asyncio.create_task(fetch(url + path, "POST", body))
            calls.callback(task.cancel)
        await eventually(lambda: app.registry.counts() == {("json", "active"): 2, ("sse", "connecting"): 1})
        assert [each["transport"] for each in await seen(url, "?transport=json")] == ["json", "json"]
        assert len(await seen(url, "?limit=2&principal=anonymous")) == 2
        assert await seen(url, "?principal=key:nobody") == []
        assert (await fetch(f"{url}/v1/admin/connections?limit=2"))[2]["has_more"]


async def test_a_reader_that_is_closed_comes_back_and_nothing_is_cancelled(wire: bool) -> None:
    """It gets `reconnect`; asked once more, there is nothing to close."""
    async with tapped(wire=wire) as (_, app, url):
        body = {"model": "tap", "prompt": "x", "stream": True, "on_disconnect": "cancel"}
        async with asyncio.timeout(10), call(f"{url}/v1/streams", "POST", body) as answer:
            await eventually(lambda: len(app.registry) == 1)
            (shown,) = await seen(url)
            close = f"{url}/v1/admin/connections/{shown['id']}/close"
            assert (await fetch(close, "POST"))[0] == 204
            events = [event async for event in answer.events()]
        assert events[-1].event == "reconnect"
        assert '"draining"' in events[-1].data
        status, _, refused = await fetch(close, "POST")
        assert (status, refused["error"]["code"]) == (404, "not_found")
        stream = answer.headers["tidegate-stream"]
        assert (await fetch(f"{url}/v1/streams/{stream}"))[2]["status"] == "running"


async def test_everybodys_streams() -> None:
    """Newest first, with the owner and the readers that are attached, a page at a time."""
    async with tapped() as (_, app, url):
        first, second = await started(url), await started(url)
        async with call(f"{url}/v1/streams/{first}/events"), call(f"{url}/v1/streams/{first}/events"):
            await eventually(lambda: len(app.registry) == 2)
            _, _, listed = await fetch(f"{url}/v1/admin/streams?limit=1")
            assert [(each["id"], each["readers"]) for each in listed["data"]] == [(second, 0)]
            assert listed["has_more"]
            _, _, listed = await fetch(f"{url}/v1/admin/streams?status=running&before={second}")
        (shown,) = listed["data"]
        assert (shown["id"], shown["owner"], shown["readers"]) == (first, "anonymous", 2)
        assert not listed["has_more"]
        assert (await fetch(f"{url}/v1/admin/streams?before=gen_x"))[0] == 404


async def test_a_reader_that_takes_nothing_lags() -> None:
    """What the log has and a client has not taken is its lag."""
    async with tapped() as (tap, app, url):
        stream = await started(url)
        async with call(f"{url}/v1/streams/{stream}/events"):
            await eventually(lambda: len(app.registry) == 1)
            for _ in range(400):
                tap.pieces.put_nowait("x" * 50_000)

            async def lags() -> bool:
                return (await seen(url))[0]["streams"][0]["lag"] > 0

            await eventually(lags, within=20)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/streams"])
async def test_a_call_whose_answer_breaks_leaves_nothing(wire: bool, path: str) -> None:
    """A model that fails, before its first byte or after it, takes its callers out of the registry."""
    body = CHAT if "chat" in path else {"model": "tap", "prompt": "x"}
    async with tapped(wire=wire) as (tap, app, url):
        for pieces in (["!"], ["one", "!"]):
            for streamed in (False, True):
                for piece in pieces:
                    tap.pieces.put_nowait(piece)
                async with call(url + path, "POST", {**body, "stream": streamed}) as answer:
                    await answer.body()
                await eventually(lambda: not len(app.registry))


async def test_clients_that_vanish_leave_nothing_behind(wire: bool) -> None:
    """Hundreds that break off, before the first byte, after it or while they wait: none is left, nor its memory."""
    async with tapped(wire=wire) as (_, app, url):
        stream = await started(url)

        async def vanish(number: int) -> None:
            way = number % 4
            if way == 0:
                _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
                writer.write(f"GET /v1/streams/{stream}/events HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
                writer.transport.abort()
            elif way == 1:
                async with call(f"{url}/v1/streams/{stream}/events") as answer:
                    await anext(answer.chunks())
            elif way == 2:
                async with call(f"{url}/v1/streams/{stream}/events"):
                    pass
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await fetch(f"{url}/v1/chat/completions", "POST", CHAT)

        async def vanish_together(total: int) -> int:
            for first in range(0, total, TOGETHER):
                await asyncio.gather(*(vanish(number) for number in range(first, first + TOGETHER)))
            await eventually(lambda: not len(app.registry) and not app.service.readers.attached)
            await eventually(lambda: len(asyncio.all_tasks()) < 20)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = await vanish_together(VANISHING // 4)
            grown = await vanish_together(VANISHING) - before
        finally:
            tracemalloc.stop()
    assert grown < VANISHING * 200, f"{grown} bytes more after {VANISHING} that vanished"
