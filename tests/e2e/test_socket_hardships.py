"""WebSockets whose clients do what nobody would, and servers that send theirs away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from api_kit import fetch
from eventually_kit import eventually
from socket_kit import JSON, MSGPACK, CallFailed, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, DeliverySettings, LimitSettings
from tidegate.core.ws_frame import frame
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.providers.settings import ReplayModel
from tidegate.routes import socket as session
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

LIMIT = 20_000_000
"""Bytes that may be taken from a client that reads nothing: the kernel's buffers, and ours."""


@asynccontextmanager
async def served(*, auth: AuthSettings | None = None, **delivery: float) -> AsyncIterator[tuple[str, Tidegate]]:
    settings = msgspec.structs.replace(
        EMBEDDED,
        models=(ReplayModel(name="slow", tokens=1000, rate=20),),
        auth=auth or AuthSettings(),
        limits=LimitSettings(requests_per_minute=0),
        delivery=DeliverySettings(**delivery),
    )
    app = Tidegate(settings)
    async with serving(app) as url:
        yield url, app
    await app.close()


async def test_pings_of_a_client_that_does_not_read() -> None:
    """Answers to pings do not heap up: a client that reads none of them is not read either."""
    async with served() as (url, _), socket(url) as client:
        transport = client.connection.transport
        transport.pause_reading()
        # Masked with zeros, the payload is as it is (RFC 6455, 5.3).
        ping = bytes([0x89, 0x80 | 125]) + bytes(4) + b"x" * 125
        sent = 0
        while transport.get_write_buffer_size() < 1_000_000:
            transport.write(ping * 1000)
            sent += len(ping) * 1000
            assert sent < LIMIT
            # The server, which runs on the same loop, has its turns to read.
            for _ in range(20):
                await asyncio.sleep(0)


async def test_nobody_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never says who it is, and reads nothing, is gone after its time all the same."""
    monkeypatch.setattr(session, "AUTH_SECONDS", 0.5)
    keys = (ApiKey(name="a", sha256=key_sha256("tg_a"), scopes=("read",)),)
    async with served(auth=AuthSettings(keys=keys)) as (url, app), socket(url) as client:
        client.connection.transport.pause_reading()
        call = frame(1, b'{"id":1,"op":"presence","topic":"a"}')
        masked = bytes([call[0], 0x80 | call[1]]) + bytes(4) + call[2:]
        for _ in range(100):
            client.connection.transport.write(masked * 1000)
            await asyncio.sleep(0)
        await eventually(lambda: not len(app.registry), within=15)


async def test_a_number_beyond_64_bits() -> None:
    """What one reader cannot have as it is does not keep the others, or what follows, from it."""
    async with served() as (url, _), socket(url, MSGPACK) as packed, socket(url, JSON) as plain:
        for client in (packed, plain):
            await client.call("subscribe", topic="a")
        body = b'{"data": [123456789012345678901234567890], "state": true}'
        assert (await fetch(f"{url}/v1/topics/a/messages", "POST", body))[0] == 200
        await plain.call("publish", topic="a", data="next")
        for client, number in ((packed, 1.2345678901234568e29), (plain, 123456789012345678901234567890)):
            seen = [(await client.until("message"))[-1]["data"]["data"] for _ in range(2)]
            assert seen == [[number], "next"]
        async with socket(url, MSGPACK) as late:
            assert (await late.call("subscribe", topic="a"))["state"] == [1.2345678901234568e29]


async def test_data_that_is_no_json() -> None:
    """MessagePack can hold what JSON cannot: that is the caller's mistake, and no failure of the server."""
    async with served() as (url, _), socket(url, MSGPACK) as client:
        for data in (msgspec.msgpack.Ext(5, b"x"), {None: 1}):
            with pytest.raises(CallFailed) as refused:
                await client.call("publish", topic="a", data=data)
            assert (refused.value.code, refused.value.error["param"]) == ("invalid_value", "data")


async def test_the_same_message_over_another_transport() -> None:
    """A key counts for the message, however and wherever it is sent."""
    async with served() as (url, _), socket(url, MSGPACK) as client:
        first = await client.call("publish", topic="a", data={"b": 1, "a": [2]}, key="k")
        spaced = b'{"data": {"a": [ 2 ],  "b": 1}}'
        found = await fetch(f"{url}/v1/topics/a/messages", "POST", spaced, {"idempotency-key": "k"})
        assert (found[0], found[2]) == (200, first)


async def test_a_broken_socket_may_come_back() -> None:
    """An answer that is followed on a socket is kept for a while when that breaks, as over Server-Sent Events."""
    async with served() as (url, _):
        async with socket(url) as client:
            made = await client.call("create", model="slow", prompt="x")
            await client.until("delta")
        async with socket(url) as client:
            await client.call("attach", stream=made["stream"])
            assert [event["type"] for event in await client.until("delta")] == ["started", "delta"]


async def test_an_operator_cancels_nothing() -> None:
    """A socket that is closed by an operator, or at the end of a token, leaves its generations running."""
    async with served() as (url, app), socket(url) as client:
        made = await client.call("create", model="slow", prompt="x", on_disconnect="cancel")
        await client.until("delta")
        (connection,) = app.registry
        assert (await fetch(f"{url}/v1/admin/connections/{connection.id}/close", "POST"))[0] == 204
        assert await client.closed() == 1001
        assert (await fetch(f"{url}/v1/streams/{made['stream']}"))[2]["status"] == "running"


async def test_coming_and_going_leaves_nothing() -> None:
    """Whoever subscribes and leaves at once is nothing to be told of, and nothing is kept of it."""
    async with served() as (url, app), socket(url) as client:
        for n in range(50):
            await client.call("subscribe", topic=f"t{n}")
            await client.call("unsubscribe", topic=f"t{n}")
        await eventually(lambda: not app.service.topics.known)


async def test_detached_and_attached_at_once() -> None:
    """What is attached right after a detach is known like any other."""
    async with served() as (url, app), socket(url) as client:
        made = await client.call("create", model="slow", prompt="x")
        calls = [client.begin("detach", stream=made["stream"]), client.begin("attach", stream=made["stream"])]
        await asyncio.gather(*calls)
        await client.event()
        (connection,) = app.registry
        assert len(connection.readers) == 1


async def test_age() -> None:
    """What is followed for longer than a connection may last is told to come back, on a socket, too."""
    async with served(max_connection_seconds=0.3) as (url, _), socket(url) as client:
        await client.call("create", model="slow", prompt="x")
        assert (await client.until("reconnect"))[-1]["data"]["reason"] == "age"
