"""Streams that have ended, over the WebSocket: told at once, and no place held for them; and their snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from api_kit import call, fetch
from socket_kit import JSON, MSGPACK, CallFailed, SocketClient, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import LimitSettings
from tidegate.providers.settings import OpenAIModel, ReplayModel
from tidegate.testing.server import serving
from tidegate.testing.upstream import DONE, End, FakeUpstream, Send, chat, event

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}
WAYS = [(True, JSON), (True, MSGPACK), (False, JSON)]
WAYS_AND_CODECS = pytest.mark.parametrize(
    ("wire", "codec"), WAYS, ids=[f"{'direct' if wire else 'fallback'}-{codec}" for wire, codec in WAYS]
)


@asynccontextmanager
async def served(*, wire: bool = True) -> AsyncIterator[str]:
    """A server that has a place for one reader of each principal, and a model that has said all it says at once."""
    settings = msgspec.structs.replace(
        EMBEDDED,
        models=(ReplayModel(name="replay", text="one two three", tokens=3, rate=0),),
        limits=LimitSettings(requests_per_minute=0, readers_per_principal=1),
    )
    app = Tidegate(settings)
    async with serving(app, wire=wire) as url:
        yield url
    await app.close()


async def ended(url: str) -> dict[str, Any]:
    return (await fetch(f"{url}/v1/streams", "POST", {"model": "replay", "prompt": "x"}))[2]


async def assert_free(client: SocketClient, url: str) -> None:
    """The only place there is for a reader is free, once the server has let go of it."""
    async with call(f"{url}/v1/streams/{(await ended(url))['id']}/events") as answer:
        assert [event.event async for event in answer.events()][-1] == "completed"


@WAYS_AND_CODECS
async def test_attach_at_the_end(wire: bool, codec: str) -> None:
    """Attaching at the end of an ended stream answers `ok` with `ended` and attaches nothing."""
    async with served(wire=wire) as url, socket(url, codec) as client:
        stream = await ended(url)
        at_end = {"stream": stream["id"], "cursor": stream["cursor"], "ended": True}
        assert await client.call("attach", stream=stream["id"], after=stream["cursor"]) == at_end
        await assert_free(client, url)
        assert await client.call("attach", stream=stream["id"], after=stream["cursor"]) == at_end
        assert await client.call("detach", stream=stream["id"]) == {}
        assert client.events.empty()


@WAYS_AND_CODECS
async def test_attach_before_the_end(wire: bool, codec: str) -> None:
    """Attached to before its end, an ended stream gives the rest and its end, and then the place is free."""
    async with served(wire=wire) as url, socket(url, codec) as client:
        stream = await ended(url)
        epoch = stream["cursor"].split("-")[0]
        for _ in range(2):
            attached = await client.call("attach", stream=stream["id"], after=f"{epoch}-3")
            assert attached == {"stream": stream["id"], "cursor": f"{epoch}-3"}
            assert [event["type"] for event in await client.until("completed")] == ["delta", "completed"]
        await assert_free(client, url)


@WAYS_AND_CODECS
@pytest.mark.parametrize("lost", ["beyond", "foreign"])
async def test_attach_where_nothing_is_kept(wire: bool, codec: str, lost: str) -> None:
    """A cursor beyond the tail of an ended stream, or of another epoch, gets a `gap` and then what is kept."""
    async with served(wire=wire) as url, socket(url, codec) as client:
        stream = await ended(url)
        epoch = stream["cursor"].split("-")[0]
        after = f"{epoch}-99" if lost == "beyond" else "zzzz-5"
        await client.call("attach", stream=stream["id"], after=after)
        gap, *rest = await client.until("completed")
        assert (gap["type"], gap["data"]) == ("gap", {"from": after, "to": f"{epoch}-0"})
        assert [event["type"] for event in rest] == ["started", "delta", "delta", "delta", "completed"]
        await assert_free(client, url)


@WAYS_AND_CODECS
async def test_create_leads_to_an_ended_stream(wire: bool, codec: str) -> None:
    """A key that leads to a stream that has ended gives it whole, and then the place is free."""
    async with served(wire=wire) as url, socket(url, codec) as client:
        first = await client.call("create", model="replay", prompt="x", key="k")
        events = await client.until("completed")
        assert await client.call("create", model="replay", prompt="x", key="k") == first
        assert await client.until("completed") == events
        await assert_free(client, url)


@WAYS_AND_CODECS
async def test_snapshot_of_an_ended_stream(wire: bool, codec: str) -> None:
    """A snapshot shows the stream as it is now, its end included; `after` counts for nothing beside it, and the end
    follows all the same."""
    async with served(wire=wire) as url, socket(url, codec) as client:
        stream = await ended(url)
        epoch, tail = stream["cursor"].split("-")
        for after in (None, f"{epoch}-2", stream["cursor"]):
            attached = await client.call("attach", stream=stream["id"], snapshot=True, after=after)
            assert attached["cursor"] == f"{epoch}-{int(tail) - 1}"
            snapshot, end = await client.until("completed")
            assert (snapshot["type"], snapshot["data"]) == ("snapshot", stream)
            assert snapshot["cursor"] == attached["cursor"]
            assert end["cursor"] == stream["cursor"]
        with pytest.raises(CallFailed, match="malformed_cursor"):
            await client.call("attach", stream=stream["id"], snapshot=True, after="x")


@pytest.mark.parametrize("query", ["?snapshot=1", "?snapshot=1&after={at_end}", "?after={middle}&snapshot=1"])
async def test_snapshot_goes_before_after(query: str) -> None:
    """`?snapshot=1` goes before `after`, and the snapshot of an ended stream has its end, which follows."""
    async with served() as url:
        stream = await ended(url)
        epoch, tail = stream["cursor"].split("-")
        asked = query.format(at_end=stream["cursor"], middle=f"{epoch}-2")
        async with call(f"{url}/v1/streams/{stream['id']}/events{asked}") as answer:
            snapshot, end = [event async for event in answer.events()]
        assert (snapshot.event, msgspec.json.decode(snapshot.data)) == ("snapshot", stream)
        assert snapshot.id == f"{epoch}-{int(tail) - 1}"
        assert (end.event, end.id) == ("completed", stream["cursor"])


async def test_last_event_id_goes_before_both() -> None:
    """Who comes back with `Last-Event-ID` gets what follows, whatever the address of the stream asks for."""
    async with served() as url:
        stream = await ended(url)
        epoch = stream["cursor"].split("-")[0]
        path = f"{url}/v1/streams/{stream['id']}/events?snapshot=1&after={epoch}-1"
        async with call(path, headers={"last-event-id": f"{epoch}-3"}) as answer:
            assert [event.event async for event in answer.events()] == ["delta", "completed"]
        assert (await fetch(path, headers={"last-event-id": stream["cursor"]}))[0] == 204


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_a_snapshot_has_what_the_upstream_has_counted(codec: str) -> None:
    """Details of the usage come over the socket, too, as they come over HTTP."""
    script = [*chat("a")[:-3], Send(event({"choices": [], "usage": USAGE})), DONE, End()]
    async with FakeUpstream(script) as upstream:
        model = OpenAIModel(name="replay", base_url=upstream.url)
        app = Tidegate(msgspec.structs.replace(EMBEDDED, models=(model,)))
        async with serving(app) as url, socket(url, codec) as client:
            stream = await ended(url)
            await client.call("attach", stream=stream["id"], snapshot=True)
            message = await client.event()
            assert message["data"]["usage"] == stream["usage"]
            assert message["data"]["usage"]["details"] == {"prompt_tokens_details": {"cached_tokens": 2}}
        await app.close()
