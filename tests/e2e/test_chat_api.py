"""OpenAI's chat completions over real connections, in front of an upstream that does as it is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_kit import call, fetch

from tidegate import Tidegate
from tidegate.config import DeliverySettings, Settings
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.server import serving
from tidegate.testing.upstream import FakeUpstream, Hang, Head, Pause, Reply, Reset, Script, Tokens, chat

pytestmark = pytest.mark.anyio

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def relaying(script: Script, **sections: Any) -> AsyncIterator[tuple[str, FakeUpstream]]:
    async with FakeUpstream(script) as upstream:
        model = OpenAIModel(name="fake", base_url=upstream.url, first_token_timeout=2, stall_timeout=2)
        app = Tidegate(Settings(models=(model,), **sections))
        async with serving(app) as url:
            yield url, upstream
            await app.close()


async def post(url: str, **changes: object) -> tuple[int, Any, Any]:
    return await fetch(f"{url}/v1/chat/completions", "POST", {**CHAT, **changes})


async def streamed(url: str, **changes: object) -> list[str]:
    async with call(f"{url}/v1/chat/completions", "POST", {**CHAT, "stream": True, **changes}) as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        return [event.data async for event in answer.events()]


async def test_a_whole_answer_is_that_of_the_upstream() -> None:
    """Text, reason and usage come through, and the stream behind them can be looked at."""
    async with relaying(chat("Hel", "lo", finish_reason="length", prompt_tokens=7)) as (url, upstream):
        status, headers, body = await post(url, temperature=0.5, tools=[{"type": "function"}])
        _, _, snapshot = await fetch(f"{url}/v1/streams/{headers['tidegate-stream']}")
        asked = upstream.requests[0].json
    assert status == 200
    assert body["choices"][0]["message"]["content"] == snapshot["text"] == "Hello"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["prompt_tokens"] == 7
    assert (asked["temperature"], asked["tools"]) == (0.5, [{"type": "function"}])


async def test_a_streamed_answer_ends_with_done() -> None:
    """Chunks, the usage that was asked for, `[DONE]`."""
    async with relaying(chat("Hel", "lo")) as (url, _):
        data = await streamed(url, stream_options={"include_usage": True})
    chunks = [json.loads(item) for item in data[:-1]]
    assert data[-1] == "[DONE]"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == "Hello"
    assert chunks[-1]["usage"]["prompt_tokens"] == 7


@pytest.mark.parametrize("told", ["true", "false"])
async def test_what_the_upstream_says_of_asking_again_is_handed_on(told: str) -> None:
    """Its `x-should-retry` is the client's to know, whichever way its status points."""
    async with relaying(
        [Reply(400 if told == "true" else 500, {"error": {"message": "no"}}, {"x-should-retry": told})]
    ) as (url, _):
        _, headers, _ = await post(url)
    assert headers["x-should-retry"] == told


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("theirs", "ours"), [(400, 400), (401, 401), (429, 429), (500, 502), (503, 503)])
async def test_an_upstream_that_refuses_is_an_http_error(theirs: int, ours: int, *, stream: bool) -> None:
    """Nothing commits to 200 before the upstream has: status, message and retry-after are the upstream's."""
    body = {"error": {"message": "no, thanks", "type": "t", "code": "c", "param": None}}
    script = [Reply(theirs, body, {"retry-after": "7"})]
    async with relaying(script) as (url, _):
        status, headers, answer = await post(url, stream=stream)
    assert (status, answer["error"]["message"]) == (ours, "no, thanks")
    assert headers["content-type"] == "application/json"
    assert headers["tidegate-stream"].startswith("gen_")
    if ours in (429, 503):
        assert headers["retry-after"] == "7"


async def test_an_answer_that_breaks_off_ends_in_an_error_event() -> None:
    """After the first token the status is gone; the error comes as an event, and there is no `[DONE]`."""
    async with relaying([Head(), Tokens(["Hel"]), Reset()]) as (url, _):
        data = await streamed(url)
        status, _, body = await post(url)
    assert json.loads(data[-1])["error"]["code"] == "upstream_interrupted"
    assert (status, body["error"]["code"]) == (502, "upstream_interrupted")


async def test_heartbeats_are_glued_to_what_follows() -> None:
    """A silent upstream gets comments, but never a block of its own that SDKs would raise on."""
    script = [Head(), Tokens(["a"]), Pause(0.3), *chat("b")[1:]]
    async with (
        relaying(script, delivery=DeliverySettings(heartbeat_seconds=0.05)) as (url, _),
        call(f"{url}/v1/chat/completions", "POST", {**CHAT, "stream": True}) as answer,
    ):
        raw = b"".join([chunk async for chunk in answer.chunks()])
    assert b": heartbeat\n" in raw
    assert all(b"data:" in block for block in raw.split(b"\n\n")[:-1])


def hanging() -> Script:
    return [Head(), Tokens(["a", "b"]), Hang()]


async def closed_after(upstream: FakeUpstream, since: float) -> float:
    async with asyncio.timeout(5):
        await upstream.closed(0)
    return time.monotonic() - since


async def until_tokens(url: str, stream: str, count: int) -> None:
    async with asyncio.timeout(5), call(f"{url}/v1/streams/{stream}/events") as answer:
        async for event in answer.events():
            count -= event.event == "delta"
            if not count:
                return


@pytest.mark.parametrize("how", ["call", "disconnect", "grace", "openai", "delete"])
async def test_a_cancel_closes_the_upstream_connection_within_a_second(how: str) -> None:
    """However an answer is stopped, the upstream sees it within a second, and usage so far is in the log."""
    native = {"model": "fake", "prompt": "hi", "stream": True}
    policy: dict[str, object] = {"disconnect": "cancel", "grace": {"grace_seconds": 0.2}}
    async with relaying(hanging()) as (url, upstream):
        path, body = f"{url}/v1/streams", {**native, "on_disconnect": policy.get(how, "keep")}
        if how == "openai":
            path, body = f"{url}/v1/chat/completions", {**CHAT, "stream": True}
        async with call(path, "POST", body) as answer:
            stream = answer.headers["tidegate-stream"]
            await until_tokens(url, stream, 2)
            since = time.monotonic()
            if how == "call":
                await fetch(f"{url}/v1/streams/{stream}/cancel", "POST")
            if how == "delete":
                await fetch(f"{url}/v1/streams/{stream}", "DELETE")
        assert await closed_after(upstream, since) < 1 + (0.2 if how == "grace" else 0)
        if how != "delete":
            _, _, snapshot = await fetch(f"{url}/v1/streams/{stream}")
            assert (snapshot["status"], snapshot["text"]) == ("cancelled", "ab")
            assert snapshot["usage"]["completion_tokens"] == 2
            assert snapshot["usage"]["estimated"]


async def test_an_answer_can_be_kept_by_header() -> None:
    """`tidegate-on-disconnect: keep` lets an OpenAI client leave."""
    async with relaying([Head(), Tokens(["a"]), Pause(0.2), *chat("b")[1:]]) as (url, _):
        headers = {"tidegate-on-disconnect": "keep"}
        async with call(f"{url}/v1/chat/completions", "POST", {**CHAT, "stream": True}, headers) as answer:
            stream = answer.headers["tidegate-stream"]
        async with call(f"{url}/v1/streams/{stream}/events") as answer:
            events = [event.event async for event in answer.events()]
    assert events[-1] == "completed"


async def test_models_are_listed_in_openais_shape() -> None:
    """`GET /v1/models` is a list of objects with ids."""
    async with relaying(chat("x")) as (url, _):
        _, _, body = await fetch(f"{url}/v1/models")
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["fake"]
