"""What repeats is not free: it counts as a request, over every transport."""

from __future__ import annotations

import msgspec
import pytest
from api_kit import fetch
from socket_kit import CallFailed, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import LimitSettings
from tidegate.providers.settings import ReplayModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

BURST = 5
PIECE = 2000


def app(*, burst: int = BURST, per_minute: int = 1) -> Tidegate:
    limits = LimitSettings(requests_per_minute=per_minute, burst=burst)
    models = (ReplayModel(name="replay", text="x" * (PIECE - 1) + " ", tokens=1000, rate=0),)
    return Tidegate(msgspec.structs.replace(EMBEDDED, limits=limits, models=models))


async def test_a_repeated_append_is_a_request() -> None:
    """It is harmless, and would be work for nothing: a new one is as free as ever."""
    async with serving(app()) as url:
        _, _, opened = await fetch(f"{url}/v1/streams", "POST", {"producer": "client"})
        target = f"{url}/v1/streams/{opened['id']}/append"

        async def append(expected: int) -> int:
            event = {"type": "delta", "data": {"text": "x"}}
            body = {"lease": opened["lease"]["token"], "expected_offset": expected, "events": [event]}
            return (await fetch(target, "POST", body))[0]

        assert [await append(n) for n in range(1, 11)] == [200] * 10
        assert [await append(1) for _ in range(BURST)] == [200] * (BURST - 1) + [429]
        assert await append(11) == 200


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("ping", {}),
        ("detach", {"stream": "gen_1"}),
        ("unsubscribe", {"topic": "room"}),
        ("presence", {"topic": "room"}),
    ],
)
async def test_calls_that_change_nothing_are_requests(op: str, fields: dict[str, str]) -> None:
    """A socket cannot ask for nothing as fast as it likes."""
    async with serving(app()) as url, socket(url) as client:
        for _ in range(BURST):
            await client.call(op, **fields)
        with pytest.raises(CallFailed, match="rate_limit_exceeded"):
            await client.call(op, **fields)


async def test_a_snapshot_that_is_too_long_for_a_message_is_of_the_beginning() -> None:
    """Whoever asks for one over a WebSocket has the whole answer all the same, in messages that it can take."""
    async with serving(app(burst=100)) as url:
        _, _, answer = await fetch(f"{url}/v1/streams", "POST", {"model": "replay", "prompt": "q"})
        async with socket(url) as client:
            await client.call("attach", stream=answer["id"], snapshot=True)
            snapshot = await client.event()
            assert snapshot["type"] == "snapshot"
            text, event = snapshot["data"]["text"], snapshot
            while event["type"] != "completed":
                event = await client.event()
                text += event["data"].get("text", "")
    assert snapshot["data"]["status"] == "running"
    assert text == answer["text"]
    assert len(text) > 1 << 20


async def test_a_message_is_no_longer_than_a_socket_can_carry() -> None:
    """Published over HTTP, it has to reach those who follow over a WebSocket, too."""
    async with serving(app(burst=100)) as url:
        target = f"{url}/v1/topics/room/messages"
        assert (await fetch(target, "POST", {"data": "x" * 1_000_000}))[0] == 200
        status, _, refused = await fetch(target, "POST", {"data": "x" * 1_048_576})
        assert (status, refused["error"]["code"], refused["error"]["param"]) == (413, "body_too_large", "data")


async def test_the_words_of_an_end_are_bounded() -> None:
    """Lists show the ends of many streams: none of them is megabytes long."""
    async with serving(app(burst=100)) as url:
        _, _, opened = await fetch(f"{url}/v1/streams", "POST", {"producer": "client"})
        end = {"type": "failed", "data": {"error": {"type": "t", "code": "c", "message": "x" * 1025}}}
        body = {"lease": opened["lease"]["token"], "expected_offset": 1, "events": [end]}
        status, _, refused = await fetch(f"{url}/v1/streams/{opened['id']}/append", "POST", body)
        assert (status, refused["error"]["param"]) == (400, "events.0.data.error.message")
