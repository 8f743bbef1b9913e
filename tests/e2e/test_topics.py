"""Topics over HTTP and Server-Sent Events, beside the WebSocket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from api_kit import call, fetch
from eventually_kit import eventually
from socket_kit import JSON, MSGPACK, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import LimitSettings, StoreSettings
from tidegate.core.sse import ServerSentEvent
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

MESSAGES = "/v1/topics/room/messages"
EVENTS = "/v1/topics/room/events"


@asynccontextmanager
async def served(*, wire: bool = True, history: int = 1000) -> AsyncIterator[str]:
    settings = msgspec.structs.replace(
        EMBEDDED,
        limits=LimitSettings(requests_per_minute=0, readers_per_principal=0, connections_per_principal=0),
        store=StoreSettings(topic_history=history),
    )
    app = Tidegate(settings)
    async with serving(app, wire=wire) as url:
        yield url
    await app.close()


async def publish(url: str, data: object, **more: object) -> str:
    status, _, body = await fetch(url + MESSAGES, "POST", {"data": data, **more})
    assert status == 200, body
    return body["cursor"]


async def next_of(events: AsyncIterator[ServerSentEvent], *, but: str = "presence") -> ServerSentEvent:
    async with asyncio.timeout(10):
        while (event := await anext(events)).event == but:
            pass
        return event


@pytest.mark.parametrize("wire", [True, False], ids=["direct", "fallback"])
async def test_publish_and_follow(wire: bool) -> None:
    """A subscription begins with `subscribed`; what is published then comes under its name, with who and when."""
    async with served(wire=wire) as url, call(url + EVENTS) as answer:
        events = answer.events()
        begin = await anext(events)
        assert (begin.event, msgspec.json.decode(begin.data)) == ("subscribed", {"cursor": begin.id, "state": None})
        came = await anext(events)
        assert (came.event, msgspec.json.decode(came.data)) == ("presence", {"joined": ["anonymous"], "left": []})
        cursor = await publish(url, {"a": [1.50, "\n"]})
        await publish(url, None, type="note")
        first, second = await next_of(events), await next_of(events)
        assert (first.event, first.id) == ("message", cursor)
        data = msgspec.json.decode(first.data)
        assert (data["data"], data["from"]) == ({"a": [1.5, "\n"]}, "anonymous")
        assert data["at"] > 1_700_000_000
        assert (second.event, msgspec.json.decode(second.data)["data"]) == ("note", None)


async def test_where_to_begin() -> None:
    """`latest` has only what comes, `earliest` all that is kept, a cursor what is after it; `Last-Event-ID` wins."""
    async with served() as url:
        cursors = [await publish(url, n) for n in range(3)]
        for query, headers, found in (
            ("?after=earliest", {}, [0, 1, 2]),
            (f"?after={cursors[0]}", {}, [1, 2]),
            ("?after=earliest", {"last-event-id": cursors[1]}, [2]),
            ("", {}, []),
        ):
            async with call(url + EVENTS + query, headers=headers) as answer:
                events = answer.events()
                assert (await anext(events)).event == "subscribed"
                await publish(url, "end", type="end")
                seen: list[Any] = []
                while (event := await next_of(events)).event != "end" or ("?" in query and len(seen) < len(found)):
                    if event.event == "message":
                        seen.append(msgspec.json.decode(event.data)["data"])
                assert seen == found


async def test_resumed_after_what_was_seen() -> None:
    """A subscription that breaks goes on after its last event, over SSE and WebSocket in turn, without loss."""
    draw = random.Random(5)
    async with served() as url:
        seen: list[int] = []
        after = "earliest"
        publishing = asyncio.ensure_future(_publish_all(url, 200))
        while len(seen) < 200:
            most = min(draw.randrange(1, 20), 200 - len(seen))
            some, after = await (_by_sse if draw.random() < 0.5 else _by_socket)(url, after, most)
            seen += some
        await publishing
        assert seen == list(range(200))


async def _publish_all(url: str, count: int) -> None:
    for n in range(count):
        await publish(url, n)


async def _by_sse(url: str, after: str, most: int) -> tuple[list[int], str]:
    async with call(f"{url}{EVENTS}?after={after}") as answer:
        events = answer.events()
        found: list[int] = []
        while len(found) < most:
            event = await next_of(events)
            after = event.id
            if event.event == "message":
                found.append(msgspec.json.decode(event.data)["data"])
        return found, after


async def _by_socket(url: str, after: str, most: int) -> tuple[list[int], str]:
    async with socket(url, random.choice([JSON, MSGPACK])) as client:
        await client.call("subscribe", topic="room", after=after)
        found: list[int] = []
        while len(found) < most:
            event = await client.event()
            if event["type"] == "message":
                found.append(event["data"]["data"])
                after = event["cursor"]
        return found, after


async def test_lost_history_is_said() -> None:
    """A topic keeps so many events: who asks for older ones gets a `gap`, then what is kept."""
    async with served(history=5) as url:
        first = await publish(url, 0)
        for n in range(1, 10):
            await publish(url, n)
        async with call(f"{url}{EVENTS}?after={first}") as answer:
            events = answer.events()
            found = [await anext(events), await next_of(events)]
            found += [await next_of(events) for _ in range(5)]
        assert [event.event for event in found] == ["subscribed", "gap", *["message"] * 5]
        assert msgspec.json.decode(found[1].data)["from"] == first
        assert [msgspec.json.decode(event.data)["data"] for event in found[2:]] == [5, 6, 7, 8, 9]


async def test_repeated_publishing() -> None:
    """A message that is repeated with its key is published once; with another body it is refused."""
    async with served() as url:
        key = {"idempotency-key": "k"}
        first = await fetch(url + MESSAGES, "POST", {"data": 1}, key)
        assert (await fetch(url + MESSAGES, "POST", {"data": 1}, key))[2] == first[2]
        assert (await fetch(url + MESSAGES, "POST", {"data": 2}, key))[0] == 409
        assert (await fetch(f"{url}/v1/topics/other/messages", "POST", {"data": 1}, key))[0] == 200
        assert await publish(url, 3) != first[2]["cursor"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (MESSAGES, {}, 400, "invalid_value"),
        (MESSAGES, {"data": 1, "type": "a b"}, 400, "invalid_value"),
        (MESSAGES, {"data": 1, "type": "completed"}, 400, "invalid_value"),
        (MESSAGES, {"data": 1, "state": "yes"}, 400, "invalid_value"),
        (MESSAGES, {"data": 1, "more": 1}, 400, "unknown_field"),
        (MESSAGES, b'{"data": [1, }', 400, "invalid_json"),
        ("/v1/topics/-room/messages", {"data": 1}, 400, "invalid_value"),
        (f"/v1/topics/{'x' * 129}/messages", {"data": 1}, 400, "invalid_value"),
    ],
)
async def test_bad_messages(path: str, body: object, status: int, code: str) -> None:
    """What cannot be published is refused with its reason, and nothing is."""
    async with served() as url:
        found, _, answer = await fetch(url + path, "POST", body)
        assert (found, answer["error"]["code"]) == (status, code)
        async with call(f"{url}{EVENTS}?after=earliest") as following:
            assert msgspec.json.decode((await anext(following.events())).data)["cursor"].endswith("-0")


async def test_bad_positions() -> None:
    """A malformed cursor is the caller's mistake, and the only one that a subscription is refused for."""
    async with served() as url:
        assert (await fetch(f"{url}{EVENTS}?after=x"))[0] == 400
        assert (await fetch(url + EVENTS, headers={"last-event-id": "x"}))[2]["error"]["param"] == "Last-Event-ID"
        async with call(f"{url}{EVENTS}?after=zzzzzz-99") as answer:
            events = answer.events()
            assert [(await anext(events)).event, (await next_of(events)).event] == ["subscribed", "gap"]


async def test_shared_state_converges() -> None:
    """Clients that come and go at random have the same state in the end as one that never left."""
    draw = random.Random(11)
    async with served(history=20) as url:
        stop = asyncio.Event()
        steady = asyncio.ensure_future(_state(url, stop, random.Random(0), breaks=False))
        shaky = [asyncio.ensure_future(_state(url, stop, random.Random(seed), breaks=True)) for seed in range(1, 9)]
        for n in range(150):
            await publish(url, {"n": n}, state=draw.random() < 0.3)
        await publish(url, {"n": "last"}, state=True)
        await publish(url, "noise")
        stop.set()
        async with asyncio.timeout(20):
            states = await asyncio.gather(steady, *shaky)
        assert states == [{"n": "last"}] * 9


async def _state(url: str, stop: asyncio.Event, draw: random.Random, *, breaks: bool) -> Any:
    """A client's state: what it was told when it came, then each event with `state`."""
    after, state = "latest", None
    while True:
        async with socket(url, draw.choice([JSON, MSGPACK])) as client:
            begin = await client.call("subscribe", topic="room", after=after)
            if after == "latest":
                state, after = begin["state"], begin["cursor"]
            left = draw.randrange(1, 30) if breaks else 10**9
            while left and not (stop.is_set() and state == {"n": "last"}):
                try:
                    event = await client.event(within=0.5)
                except TimeoutError:
                    continue
                left -= 1
                after = event.get("cursor", after)
                state = event["data"]["data"] if event["data"].get("state") else state
                if event["type"] == "gap":
                    # What is lost may have held the state: what is now is to be had anew.
                    after = "latest"
                    break
            if stop.is_set() and state == {"n": "last"}:
                return state


async def test_presence() -> None:
    """Who is subscribed can be asked, and is told to all when it changes; a second connection is no news."""
    async with served() as url:
        assert (await fetch(f"{url}/v1/topics/room/presence"))[2] == []
        async with socket(url) as ann:
            await ann.call("subscribe", topic="room")
            assert (await ann.event())["data"] == {"joined": ["anonymous"], "left": []}
            async with call(url + EVENTS) as answer:
                await anext(answer.events())
                found = (await fetch(f"{url}/v1/topics/room/presence"))[2]
                assert found == [{"principal": "anonymous", "connections": 2}]
            await _present(url, [{"principal": "anonymous", "connections": 1}])
            assert ann.events.empty()
        await _present(url, [])


async def test_events_as_messages() -> None:
    """Clients that only have `onmessage` get the name inside the data."""
    async with served() as url, call(f"{url}{EVENTS}?events=message") as answer:
        events = answer.events()
        assert msgspec.json.decode((await anext(events)).data)["type"] == "subscribed"
        await publish(url, 1, type="note")
        seen = {each["type"]: each for each in [msgspec.json.decode((await anext(events)).data) for _ in range(2)]}
        assert set(seen) == {"presence", "note"}
        assert seen["note"]["data"] == 1


async def _present(url: str, expected: list[dict[str, Any]]) -> None:
    async def told() -> bool:
        return (await fetch(f"{url}/v1/topics/room/presence"))[2] == expected

    await eventually(told)


@pytest.mark.parametrize("protocol", [JSON, MSGPACK])
async def test_what_can_be_published_can_be_followed(protocol: str) -> None:
    """A message that a request may bring, and no WebSocket's client would take, is refused with 413."""
    async with served() as url, socket(url, protocol) as client:
        await client.call("subscribe", topic="room")
        status, _, refused = await fetch(url + MESSAGES, "POST", {"data": "x" * 1024 * 1024})
        assert (status, refused["error"]["code"], refused["error"]["param"]) == (413, "body_too_large", "data")
        largest = "x" * (1024 * 1024 - 512)
        await publish(url, largest)
        assert (await client.until("message"))[-1]["data"]["data"] == largest
