"""What a WebSocket may send, and how many of them a caller may have."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import ws_kit
from api_kit import call, fetch
from eventually_kit import eventually
from lost_kit import connected
from socket_kit import CallFailed, socket
from websockets.exceptions import InvalidStatus
from ws_kit import CONT, TEXT, RawSocket, closed, frame

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, LimitSettings
from tidegate.errors import Overloaded
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.serving.budget import Budget
from tidegate.serving.waiting import Waiting
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

SCOPES = ("generate", "read", "publish", "subscribe")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@asynccontextmanager
async def served(*, budget: Budget | None = None, **limits: int) -> AsyncIterator[tuple[Tidegate, str]]:
    keys = tuple(ApiKey(name=name, sha256=key_sha256(f"tg_{name}"), scopes=SCOPES) for name in ("ann", "bob"))
    app = Tidegate(
        msgspec.structs.replace(EMBEDDED, auth=AuthSettings(keys=keys), limits=LimitSettings(**limits)),
    )
    async with serving(app, budget=budget) as url:
        yield app, url
    await app.close()


async def said(url: str, *frames: bytes, headers: Mapping[str, str] = {}) -> list[Any]:
    """What the server answers until it closes."""

    def talk() -> list[Any]:
        request = ws_kit.request(target="/v1/ws", **headers)
        with connected(urlsplit(url).port or 0, request, b"\r\n\r\n") as sock:
            client = RawSocket(sock)
            client.send(b"".join(frames))
            found: list[Any] = []
            while (message := client.read()) is not None and not (found and found[-1].opcode == ws_kit.CLOSE):
                found.append(message)
            return found

    return await asyncio.wait_for(asyncio.to_thread(talk), 10)


HEADS = {
    "of one": struct.pack("!BBH", 0x81, 0x80 | 126, 4097) + b"mask",
    "of a large one": struct.pack("!BBQ", 0x81, 0x80 | 127, 1 << 40) + b"mask",
    "of the last piece": frame(TEXT, b"x" * 4000, fin=False) + struct.pack("!BB", 0x80, 0x80 | 97) + b"mask",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
async def test_before_auth_a_message_is_refused_by_its_head(head: bytes) -> None:
    """Nothing of what it announces has to come, be it in one piece or in many."""
    async with served() as (_, url):
        assert await said(url, head) == [closed(1009)]


async def test_who_has_said_who_it_is_may_say_more() -> None:
    """At once, without waiting for the answer."""
    async with served() as (_, url), socket(url) as client:
        auth = client.begin("auth", token="tg_ann")
        publish = client.begin("publish", topic="t", data="x" * 100_000)
        assert await auth == {"principal": "key:ann"}
        assert "cursor" in await publish


async def test_large_calls_are_counted_before_they_are_decoded() -> None:
    """Past the limit they are refused unread, without an id; small ones are refused by theirs."""
    async with served(requests_per_minute=1, burst=2) as (_, url), socket(url, headers=bearer("tg_ann")) as client:
        for _ in range(2):
            await client.call("publish", topic="t", data="x" * 5000)
        await client.connection.send('{"id": 1, "op": ' + "[" * 500_000)
        with pytest.raises(CallFailed, match="rate_limit_exceeded"):
            await client.call("publish", topic="t", data="x")
        assert [each["error"]["code"] for each in client.unasked] == ["rate_limit_exceeded"]


async def test_connections_of_a_caller() -> None:
    """Calls, event streams and sockets are counted together; one too many is told so in its own way, and the end of
    one makes room. Others have their own."""
    async with served(connections_per_principal=2, requests_per_minute=0) as (app, url), AsyncExitStack() as stack:
        events = f"{url}/v1/topics/t/events"
        reading = await stack.enter_async_context(call(events, headers=bearer("tg_ann")))
        assert (await anext(reading.events())).event == "subscribed"
        async with socket(url, headers=bearer("tg_ann")) as client:
            await client.call("ping")
            async with socket(url, headers=bearer("tg_ann")) as one_too_many:
                assert await one_too_many.closed() == 4429
            async with socket(url) as one_too_many:
                with pytest.raises(CallFailed, match="too_many_connections"):
                    await one_too_many.call("auth", token="tg_ann")
                assert await one_too_many.closed() == 4429
            status, headers, refused = await fetch(f"{url}/v1/models", headers=bearer("tg_ann"))
            assert (status, refused["error"]["code"]) == (429, "too_many_connections")
            assert 5 <= int(headers["retry-after"]) <= 15
            async with call(events, headers=bearer("tg_ann")) as late:
                assert [event.event async for event in late.events()] == ["reconnect"]
            assert (await fetch(f"{url}/v1/models", headers=bearer("tg_bob")))[0] == 200
            await client.call("auth", token="tg_ann")
        await eventually(lambda: len(app.connections) <= 1)
        assert (await fetch(f"{url}/v1/models", headers=bearer("tg_ann")))[0] == 200


async def test_a_server_that_is_full() -> None:
    """503 for a call and at a socket's handshake; an `EventSource` is told to come back."""
    async with served(budget=Budget(connections=0)) as (_, url):
        for path in ("/v1/models", "/healthz"):
            status, headers, refused = await fetch(url + path)
            assert (status, refused["error"]["code"]) == (503, Overloaded.code)
            assert headers["connection"] == "close"
        async with call(f"{url}/v1/topics/t/events") as events:
            assert [event.event async for event in events.events()] == ["reconnect"]
        with pytest.raises(InvalidStatus) as caught:
            async with socket(url):
                pass
        assert caught.value.response.status_code == 503


async def test_messages_that_arrive_are_counted_in_all() -> None:
    """Past what may wait the largest is closed, to come back; what it held is given back."""
    budget = Budget(waiting=Waiting(500_000))
    half = frame(TEXT, b"x" * 700_000, fin=False)
    async with served(budget=budget) as (_, url):
        assert await said(url, half, headers=bearer("tg_ann")) == [closed(1001)]
        assert budget.waiting.total == 0
        small = frame(TEXT, b'{"id":1,', fin=False) + frame(CONT, b'"op":"ping"}') + ws_kit.close(1000)
        assert len(await said(url, small, headers=bearer("tg_ann"))) == 2
