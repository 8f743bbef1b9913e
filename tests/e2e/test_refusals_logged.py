"""Who was refused, and why, is told of: not only that something was answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from api_kit import call, fetch
from socket_kit import socket as websocket

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings, StoreSettings
from tidegate.observe.base import Occurrence, RequestDone
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


class Kept:
    def __init__(self) -> None:
        self.done: list[RequestDone] = []

    def observe(self, occurrence: Occurrence) -> None:
        if isinstance(occurrence, RequestDone):
            self.done.append(occurrence)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def url(kept: Kept) -> AsyncIterator[str]:
    limits = LimitSettings(requests_per_minute=1, burst=3)
    app = Tidegate(Settings(store=StoreSettings(url="memory://"), models=(), limits=limits), observer=kept)
    async with serving(app) as url:
        yield url
    await app.close()


async def test_a_refusal_is_told_with_its_code(url: str, kept: Kept) -> None:
    """Five kinds of 429 are told apart, and an `EventSource` that has to wait from one that is served."""
    await fetch(f"{url}/v1/streams/gen_none")
    await fetch(f"{url}/v1/streams", "POST", {"model": "none", "prompt": "q"})
    await fetch(f"{url}/healthz")
    await fetch(f"{url}/v1/models")
    await fetch(f"{url}/v1/models")
    async with call(f"{url}/v1/streams/gen_none/events") as answer:
        assert answer.status == 200
        await answer.body()
    told = [(each.status, each.code) for each in kept.done]
    assert told == [
        (404, "stream_not_found"),
        (404, "model_not_found"),
        (200, None),
        (200, None),
        (429, "rate_limit_exceeded"),
        (200, "rate_limit_exceeded"),
    ]


async def test_a_socket_that_is_sent_away_is_told_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """With its code, its caller, its address and its request."""
    with caplog.at_level(logging.INFO, logger="tidegate.ws"):
        async with websocket(url) as client:
            for _ in range(2):
                await client.send([])
            assert await client.closed() == 4400
    (record,) = [each for each in caplog.records if each.name == "tidegate.ws"]
    assert record.getMessage() == "closed with 4400: a second malformed message"
    fields = record.__dict__["fields"]
    assert fields["address"] == "127.0.0.1"
    assert fields["account"].startswith(("address:", "anonymous"))
    assert fields["request_id"].startswith("req_")
