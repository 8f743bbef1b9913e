"""Snapshots of long answers: sent as fast as their client reads, and counted as readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from api_kit import call, fetch
from eventually_kit import eventually

pytestmark = pytest.mark.anyio

PIECES = 3000
LENGTH = 4000 * PIECES - 1
"""More than what two sockets hold by themselves."""
CONFIG = f"""
[store]
url = "memory://"
[limits]
requests_per_minute = 0
readers_per_principal = 4
[[models]]
name = "long"
provider = "replay"
text = "{"x" * 3999} "
tokens = {PIECES}
rate = 0
"""


async def long(server: Callable[[str], str]) -> str:
    """The URL of an ended stream of `LENGTH` characters."""
    url = server(CONFIG)
    body = {"model": "long", "prompt": "q"}
    status, headers, answer = await fetch(f"{url}/v1/streams", "POST", body)
    assert status == 200
    assert len(answer["text"]) == LENGTH
    assert "content-length" not in headers
    return f"{url}/v1/streams/{answer['id']}"


async def test_long_snapshots_that_nobody_reads_are_readers(server: Callable[[str], str]) -> None:
    """They take places like any reader, and give them back; what is short is answered all the same."""
    stream = await long(server)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            assert (await stack.enter_async_context(call(stream))).status == 200
        async with call(stream) as refused:
            assert refused.status == 429
            assert (await refused.json())["error"]["code"] == "too_many_readers"
        base = stream.rpartition("/v1/")[0]
        short = {"model": "long", "prompt": "q", "background": True, "max_tokens": 1}
        assert (await fetch(f"{base}/v1/streams", "POST", short))[0] == 202

    async def place_is_back() -> bool:
        return (await fetch(stream))[0] == 200

    await eventually(place_is_back, within=5)


async def test_a_long_snapshot_is_the_first_event(server: Callable[[str], str]) -> None:
    """With `snapshot=1` a long stream is one event of one line, then its end; as a message, too."""
    stream = await long(server)
    async with call(f"{stream}/events?snapshot=1") as answer:
        events = [event async for event in answer.events()]
    assert [event.event for event in events] == ["snapshot", "completed"]
    assert len(json.loads(events[0].data)["text"]) == LENGTH
    async with call(f"{stream}/events?snapshot=1&events=message") as answer:
        first = json.loads((await anext(answer.events())).data)
    assert first["type"] == "snapshot"
    assert len(first["text"]) == LENGTH


async def test_the_head_of_a_long_snapshot_says_no_length(server: Callable[[str], str]) -> None:
    """HEAD costs no look at the whole answer."""
    stream = await long(server)
    async with call(stream, "HEAD") as answer:
        assert answer.status == 200
        assert "content-length" not in answer.headers
