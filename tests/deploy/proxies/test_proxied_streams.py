"""Streams through nginx and Caddy as they are shipped: each event is passed on before the next one exists."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from eventually_kit import eventually
from pair_kit import Told
from way_kit import HTTP, HTTP2, PATIENCE, Filled, Stack, Way, events

pytestmark = pytest.mark.anyio

WORDS = ["Well, ", "then: ", "each ", "as ", "it ", "comes."]

PREFIX = "/llm"

WAYS = [
    HTTP,
    Way(gzip=True),
    Way(prefix=PREFIX),
    Way(tls=True),
    HTTP2,
    Way(tls=True, http2=True, gzip=True),
    Way(tls=True, http2=True, gzip=True, prefix=PREFIX),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_token_is_with_the_client_before_the_next_is_sent(stack: Stack, way: Way) -> None:
    """Over either version of HTTP, with TLS, compressed, and below a prefix; to the end of the stream."""
    async with way.client(stack.front) as client:
        filled = await Filled.open(client)
        async with events(client, "GET", f"{filled.path}/events") as arriving:
            assert arriving.response.http_version == ("HTTP/2" if way.http2 else "HTTP/1.1")
            assert arriving.response.headers.get("content-encoding") == ("gzip" if way.gzip else None)
            for word in WORDS:
                await filled.append(word)
                assert json.loads((await arriving.until("delta")).data) == {"text": word}
            await filled.complete()
            await arriving.until("completed")
            with pytest.raises(StopAsyncIteration):
                await arriving.next()


async def test_a_producer_alarms_nobody(stack: Stack) -> None:
    """nginx leads all appends to one node, Caddy each to the next, and there the stream goes without a word."""
    async with HTTP.client(stack.front) as client:
        filled = await Filled.open(client)
        for word in WORDS:
            await filled.append(word)
    logs = [node.log() for node in stack.nodes]
    came = [any(line.get("path") == f"{filled.path}/append" for line in log) for log in logs]
    assert sorted(came) == ([False, True] if stack.front.name == "nginx" else [True, True])
    assert [line for log in logs for line in log if filled.id in line["message"]] == []


@pytest.mark.parametrize("way", [HTTP, Way(prefix=PREFIX), Way(tls=True, prefix=PREFIX)], ids=str)
async def test_a_socket_has_each_token_before_the_next_is_sent(stack: Stack, way: Way) -> None:
    """A WebSocket passes, with TLS and below a prefix, too."""
    async with way.client(stack.front) as client, way.socket(stack.front) as socket:
        filled = await Filled.open(client)
        assert "ok" in await socket.call("attach", stream=filled.id)
        assert (await socket.message())["type"] == "started"
        for word in WORDS:
            await filled.append(word)
            assert (await socket.message())["data"] == {"text": word}
        assert "ok" in await socket.call("ping")


@pytest.mark.parametrize("way", [HTTP, HTTP2], ids=str)
async def test_an_openai_client_has_each_token_before_the_model_goes_on(stack: Stack, way: Way, tmp_path: Path) -> None:
    """The answer to a POST streams as well."""
    model = Told(tmp_path)
    body = {"model": "told", "messages": [{"role": "user", "content": model.prompt}], "stream": True}
    model.say(WORDS[0])
    async with way.client(stack.front) as client, events(client, "POST", "/v1/chat/completions", json=body) as arriving:
        for said, to_say in zip(WORDS, [*WORDS[1:], ""], strict=True):
            while json.loads((await arriving.next()).data)["choices"][0]["delta"].get("content") != said:
                pass
            model.say(to_say)
        while (await arriving.next()).data != "[DONE]":
            pass


async def test_silence_does_not_end_a_connection(stack: Stack) -> None:
    """Heartbeats pass, compressed ones too, and an event after them comes on the same connection."""
    async with HTTP.client(stack.front) as plain, Way(tls=True, http2=True, gzip=True).client(stack.front) as other:
        filled = await Filled.open(plain)

        async with (
            events(plain, "GET", f"{filled.path}/events") as near,
            events(other, "GET", f"{filled.path}/events") as far,
            HTTP.socket(stack.front) as socket,
        ):
            await socket.call("attach", stream=filled.id)
            for arriving in (near, far):
                await arriving.until("started")
                for _ in range(2):
                    assert (await arriving.more()).startswith(":")
            await filled.append("at last")
            for arriving in (near, far):
                assert json.loads((await arriving.next()).data) == {"text": "at last"}
            while (await socket.message())["data"] != {"text": "at last"}:
                pass


async def asked(way: Way, stack: Stack, body: object) -> None:
    """Asks on a connection of its own, which is closed with it."""
    async with way.client(stack.front) as client:
        await client.post("/v1/streams", json=body)


@pytest.mark.parametrize("way", [HTTP, HTTP2], ids=str)
@pytest.mark.parametrize("stream", [True, False], ids=["events", "whole"])
async def test_who_leaves_has_left(stack: Stack, way: Way, stream: bool, tmp_path: Path) -> None:
    """The proxy lets go of the server, too: the answer is cancelled while the model says nothing."""
    model = Told(tmp_path)
    model.say("one word")
    mark = {"test": tmp_path.name}
    body = {"model": "told", "prompt": model.prompt, "stream": stream, "on_disconnect": "cancel", "metadata": mark}
    async with way.client(stack.front) as client:
        asking = asyncio.create_task(asked(way, stack, body))

        async def is_now(status: str) -> bool:
            listed = (await client.get("/v1/streams", params={"status": status})).json()["data"]
            return any(each["metadata"] == mark for each in listed)

        await eventually(lambda: is_now("running"), within=PATIENCE)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await eventually(lambda: is_now("cancelled"), within=PATIENCE)
