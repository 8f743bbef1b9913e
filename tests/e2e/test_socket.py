"""The native WebSocket, over both ways and in both subprotocols."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from api_kit import call, fetch
from socket_kit import JSON, MSGPACK, CallFailed, SocketClient, socket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import LimitSettings
from tidegate.core.events import GenerationRequest
from tidegate.providers.settings import ReplayModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

WAYS = [(wire, codec) for wire in (True, False) for codec in (JSON, MSGPACK)]
BOTH_WAYS = pytest.mark.parametrize(
    ("wire", "codec"), WAYS, ids=[f"{'direct' if wire else 'fallback'}-{codec}" for wire, codec in WAYS]
)


class Steps:
    """A model that says one word for each `go`."""

    def __init__(self) -> None:
        self.go = asyncio.Queue[str | None]()
        self.stopped = asyncio.Event()

    async def answer(self, request: GenerationRequest) -> AsyncIterator[str]:
        try:
            while (word := await self.go.get()) is not None:
                yield word
        finally:
            self.stopped.set()

    def say(self, *words: str | None) -> None:
        for word in words:
            self.go.put_nowait(word)


@asynccontextmanager
async def served(steps: Steps | None = None, *, wire: bool = True, **limits: int) -> AsyncIterator[str]:
    settings = msgspec.structs.replace(
        EMBEDDED,
        models=(ReplayModel(name="replay", tokens=300, rate=0), ReplayModel(name="slow", tokens=1000, rate=400)),
        limits=LimitSettings(**{"requests_per_minute": 0, **limits}),
    )
    app = Tidegate(settings, models={"steps": (steps or Steps()).answer})
    async with serving(app, wire=wire) as url:
        yield url
    await app.close()
    assert len(app.registry) == 0


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["data"]["text"] for event in events if event["type"] == "delta")


@BOTH_WAYS
async def test_create_and_follow(wire: bool, codec: str) -> None:
    """A generation is started and followed on the socket: the answer first, then every event in order, to its end."""
    steps = Steps()
    async with served(steps, wire=wire) as url, socket(url, codec) as client:
        assert client.connection.subprotocol == codec
        made = await client.call("create", model="steps", prompt="x")
        steps.say("a", "b", None)
        events = await client.until("completed")
        assert [event["type"] for event in events] == ["started", "delta", "delta", "completed"]
        assert {event["stream"] for event in events} == {made["stream"]}
        epoch = made["cursor"].split("-")[0]
        assert made["cursor"] == f"{epoch}-0"
        assert [event["cursor"] for event in events] == [f"{epoch}-{n}" for n in range(1, 5)]
        snapshot = (await fetch(f"{url}/v1/streams/{made['stream']}"))[2]
        assert (snapshot["text"], snapshot["cursor"]) == ("ab", events[-1]["cursor"])


@BOTH_WAYS
async def test_many_streams_on_one_socket(wire: bool, codec: str) -> None:
    """One socket carries many streams at once, each whole and in order."""
    async with served(wire=wire) as url, socket(url, codec) as client:
        made = [await client.call("create", model="replay", prompt=str(n)) for n in range(20)]
        left = {each["stream"] for each in made}
        found: dict[str, list[dict[str, Any]]] = {stream: [] for stream in left}
        while left:
            event = await client.event()
            found[event["stream"]].append(event)
            left -= {event["stream"]} if event["type"] == "completed" else set()
        for stream, events in found.items():
            offsets = [int(event["cursor"].split("-")[1]) for event in events]
            assert offsets == sorted(set(offsets))
            assert text_of(events) == (await fetch(f"{url}/v1/streams/{stream}"))[2]["text"]


@BOTH_WAYS
async def test_attach_detach_and_snapshot(wire: bool, codec: str) -> None:
    """A stream is attached to after a cursor, or with a snapshot for what was; after detaching nothing comes of it."""
    steps = Steps()
    async with served(steps, wire=wire) as url, socket(url, codec) as client, socket(url, codec) as other:
        made = await client.call("create", model="steps", prompt="x")
        steps.say("a", "b")
        events = await client.until("delta") + await client.until("delta")
        attached = await other.call("attach", stream=made["stream"], after=events[-2]["cursor"])
        assert attached == {"stream": made["stream"], "cursor": events[-2]["cursor"]}
        assert (await other.event())["data"] == {"text": "b"}
        with pytest.raises(CallFailed, match="already_attached"):
            await other.call("attach", stream=made["stream"])
        await other.call("detach", stream=made["stream"])
        await other.call("detach", stream=made["stream"])
        await other.call("attach", stream=made["stream"], snapshot=True)
        first = await other.event()
        assert (first["type"], first["data"]["text"], first["cursor"]) == ("snapshot", "ab", events[-1]["cursor"])
        steps.say("c", None)
        assert [event["type"] for event in await other.until("completed")] == ["delta", "completed"]
        await client.until("completed")
        assert text_of(client.seen) == "abc"


@BOTH_WAYS
async def test_cancel(wire: bool, codec: str) -> None:
    """Cancelling is answered once the stream has ended, and its end comes like any other event."""
    steps = Steps()
    async with served(steps, wire=wire) as url, socket(url, codec) as client:
        made = await client.call("create", model="steps", prompt="x")
        steps.say("a")
        await client.until("delta")
        ended = await client.call("cancel", stream=made["stream"], reason="enough")
        end = (await client.until("cancelled"))[-1]
        assert ended == {"status": "cancelled", "cursor": end["cursor"]}
        assert (end["data"]["by"], end["data"]["reason"]) == ("client", "enough")
        async with asyncio.timeout(1):
            await steps.stopped.wait()


@BOTH_WAYS
async def test_topic(wire: bool, codec: str) -> None:
    """What one publishes reaches all that are subscribed, once, whatever they speak; who is there is told."""
    other_codec = MSGPACK if codec == JSON else JSON
    async with served(wire=wire) as url, socket(url, codec) as ann, socket(url, other_codec) as ben:
        begin = await ann.call("subscribe", topic="room")
        await ben.call("subscribe", topic="room")
        assert begin["state"] is None
        assert (await ann.until("presence"))[-1]["data"] == {"joined": ["anonymous"], "left": []}
        published = await ann.call("publish", topic="room", data={"n": [1, 2.5, None, "ü"]}, type="note", key="k1")
        assert (
            await ann.call("publish", topic="room", data={"n": [1, 2.5, None, "ü"]}, type="note", key="k1") == published
        )
        await ben.call("publish", topic="room", data="second", state=True)
        for client in (ann, ben):
            events = [event for event in await client.until("message") if event["type"] != "presence"]
            assert [event["type"] for event in events] == ["note", "message"]
            assert events[0]["cursor"] == published["cursor"]
            assert events[0]["data"]["data"] == {"n": [1, 2.5, None, "ü"]}
            assert events[1]["data"]["state"] is True
        assert (await ann.call("presence", topic="room"))["present"] == [{"principal": "anonymous", "connections": 2}]
        await ben.call("unsubscribe", topic="room")
        assert (await ann.call("presence", topic="room"))["present"] == [{"principal": "anonymous", "connections": 1}]
        late = await ben.call("subscribe", topic="room", after="earliest")
        assert late["state"] == "second"
        assert [event["type"] for event in await ben.until("message")] == ["note", "message"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("mixed", [False, True], ids=["websocket", "mixed"])
async def test_fifty_cuts(seed: int, mixed: bool) -> None:
    """An answer followed over 50 broken connections, WebSockets alone or in turn with SSE, is whole: nothing is lost
    or comes twice."""
    draw = random.Random(seed)
    async with served() as url:
        _, _, made = await fetch(f"{url}/v1/streams", "POST", {"model": "slow", "prompt": "x", "background": True})
        stream, after, events = made["id"], None, []
        for cut in range(51):
            over = mixed and draw.random() < 0.5
            some = await (_by_sse if over else _by_socket)(url, stream, after, draw.randrange(1, 35) if cut < 50 else 0)
            events += some
            after = events[-1]["cursor"] if events else None
        offsets = [int(event["cursor"].split("-")[1]) for event in events]
        assert offsets == sorted(set(offsets))
        assert events[-1]["type"] == "completed"
        assert text_of(events) == (await fetch(f"{url}/v1/streams/{stream}"))[2]["text"]


async def _by_socket(url: str, stream: str, after: str | None, most: int) -> list[dict[str, Any]]:
    async with socket(url, random.choice([JSON, MSGPACK])) as client:
        await client.call("attach", stream=stream, after=after)
        found = [await client.event()]
        while len(found) != most and found[-1]["type"] != "completed":
            found.append(await client.event())
        return found


async def _by_sse(url: str, stream: str, after: str | None, most: int) -> list[dict[str, Any]]:
    query = "" if after is None else f"?after={after}"
    found: list[dict[str, Any]] = []
    async with call(f"{url}/v1/streams/{stream}/events{query}") as answer:
        async for event in answer.events():
            found.append({"type": event.event, "cursor": event.id, "data": msgspec.json.decode(event.data)})
            if len(found) == most:
                break
    return found


@BOTH_WAYS
async def test_slow_socket(wire: bool, codec: str) -> None:
    """A socket that does not read catches up from the log, merged, and slows nobody."""
    async with served(wire=wire) as url, socket(url, codec) as slow, socket(url, codec) as quick:
        slow.connection.transport.pause_reading()
        made = await quick.call("create", model="replay", prompt="x", on_disconnect="keep")
        asking = slow.begin("attach", stream=made["stream"])
        await quick.until("completed")
        slow.connection.transport.resume_reading()
        await asking
        assert text_of(await slow.until("completed")) == text_of(quick.seen)


async def test_leaving_counts() -> None:
    """A generation whose owner cuts its socket is cancelled as it asked for, within a second."""
    steps = Steps()
    async with served(steps) as url:
        async with socket(url) as client:
            made = await client.call("create", model="steps", prompt="x", on_disconnect="cancel")
        async with asyncio.timeout(1):
            await steps.stopped.wait()
        async with call(f"{url}/v1/streams/{made['stream']}/events") as answer:
            assert [event.event async for event in answer.events()][-1] == "cancelled"


async def test_create_without_attaching() -> None:
    """With `attach: false` nothing comes of the stream, which outlives the socket; `key` leads to it again."""
    steps = Steps()
    async with served(steps) as url:
        body = {"model": "steps", "prompt": "x", "attach": False, "key": "once"}
        async with socket(url) as client:
            made = await client.call("create", **body)
            assert await client.call("create", **body) == made
            with pytest.raises(CallFailed, match="idempotency_mismatch"):
                await client.call("create", **{**body, "prompt": "y"})
            assert client.seen == []
        steps.say("a", None)
        async with socket(url, MSGPACK) as client:
            await client.call("attach", stream=made["stream"])
            assert text_of(await client.until("completed")) == "a"


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_bad_calls(codec: str) -> None:
    """What is wrong with a call is said with its field, nothing is changed, and the socket goes on."""
    cases: list[tuple[str, dict[str, Any], str, str | None]] = [
        ("fly", {}, "invalid_value", "op"),
        ("attach", {"stream": 3}, "invalid_value", "stream"),
        ("attach", {}, "invalid_value", "stream"),
        ("attach", {"stream": "gen_x"}, "stream_not_found", None),
        ("attach", {"stream": "tg_AbCdEf0123456789"}, "stream_not_found", None),
        ("attach", {"stream": "gen_x", "after": "?"}, "malformed_cursor", "after"),
        ("attach", {"stream": "gen_x", "more": 1}, "unknown_field", "more"),
        ("create", {"model": "nope", "prompt": "x"}, "model_not_found", "model"),
        ("create", {"model": "replay"}, "invalid_value", "messages"),
        ("create", {"model": "replay", "prompt": "x", "temperature": 9}, "invalid_value", "temperature"),
        ("cancel", {"stream": "gen_x"}, "stream_not_found", None),
        ("subscribe", {"topic": "a b"}, "invalid_value", "topic"),
        ("publish", {"topic": "a", "data": 1, "type": "completed"}, "invalid_value", "type"),
        ("publish", {"topic": "a"}, "invalid_value", "data"),
        ("attach", {"stream": "topic:a"}, "stream_not_found", None),
    ]
    async with served() as url, socket(url, codec) as client:
        for op, fields, code, param in cases:
            with pytest.raises(CallFailed) as failed:
                await client.call(op, **fields)
            assert (failed.value.code, failed.value.error["param"]) == (code, param), (op, fields)
            assert failed.value.error["request_id"]
            assert "AbCdEf" not in failed.value.error["message"]
        assert await client.call("ping") == {}
        assert (await fetch(f"{url}/v1/streams"))[2]["data"] == []


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
@pytest.mark.parametrize("message", [b"\xc1", b"[]", b"1", b'{"op":"ping"}', b'{"id":{},"op":"ping"}', b""])
async def test_malformed_messages(codec: str, message: bytes) -> None:
    """The first message that is no call is answered with an error, the second closes the socket; others go on."""
    async with served() as url, socket(url) as other, socket(url, codec) as client:
        for _ in range(2):
            await client.connection.send(message if codec == MSGPACK else message.decode("latin-1"))
        assert await client.closed() == 4400
        assert [each["error"]["code"] for each in client.unasked] == ["malformed_message"] * 2
        assert await other.call("ping") == {}


@pytest.mark.parametrize(("codec", "message"), [(JSON, b"{}"), (MSGPACK, "{}")])
async def test_wrong_kind(codec: str, message: bytes | str) -> None:
    """A binary message where JSON is spoken, or text where MessagePack is, closes the socket with 1003."""
    async with served() as url, socket(url, codec) as client:
        await client.connection.send(message)
        assert await client.closed() == 1003


async def test_too_many_calls() -> None:
    """Calls beyond the limit are refused with the time to wait; who goes on regardless is closed with 4429."""
    async with served(requests_per_minute=60, burst=5) as url, socket(url) as client:
        refused: list[CallFailed] = []
        for _ in range(8):
            try:
                await client.call("presence", topic="a")
            except CallFailed as error:
                refused.append(error)
        assert {error.code for error in refused} == {"rate_limit_exceeded"}
        assert 0 < refused[0].error["retry_after_ms"] <= 1000
        answers = [client.begin("presence", topic="a") for _ in range(120)]
        assert await client.closed() == 4429
        await asyncio.gather(*answers, return_exceptions=True)


async def test_plain_http() -> None:
    """A request without an upgrade is told what it takes."""
    async with served() as url:
        status, headers, body = await fetch(f"{url}/v1/ws")
        assert (status, body["error"]["code"]) == (426, "upgrade_required")
        assert headers["upgrade"] == "websocket"


@pytest.mark.parametrize("offered", [[], ["other"], ["other", MSGPACK]])
async def test_subprotocols(offered: list[str]) -> None:
    """The first that both speak is taken; without one it is JSON, and none is named."""
    async with served() as url:
        where = url.replace("http", "ws") + "/v1/ws"
        connection = await connect(where, subprotocols=offered or None)  # type: ignore[arg-type]
        assert connection.subprotocol == (MSGPACK if MSGPACK in offered else None)
        await SocketClient(connection).call("ping")
        connection.transport.abort()


async def test_foreign_page() -> None:
    """A page of another site is refused at the handshake, one of the server's own is let in."""
    async with served() as url:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(url, headers={"origin": "https://evil.example"}):
                pass
        assert refused.value.response.status_code == 403
        assert msgspec.json.decode(refused.value.response.body or b"")["error"]["code"] == "origin_not_allowed"
        async with socket(url, headers={"origin": url}) as client:
            await client.call("ping")
