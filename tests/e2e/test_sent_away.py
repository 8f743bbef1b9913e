"""What becomes of an answer whose reader is sent away, or cannot be served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from api_kit import call, fetch
from eventually_kit import eventually

import tidegate.routes.call
from tidegate.app import Tidegate
from tidegate.core.events import GenerationRequest
from tidegate.core.notices import TOKEN_EXPIRED
from tidegate.errors import InternalError
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

NATIVE = ("/v1/streams", {"model": "m", "prompt": "x", "on_disconnect": "cancel"})
CHAT = ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]})


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    yield "a "
    await asyncio.Event().wait()


async def expired(app: Tidegate, url: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    """What is answered to whoever's token expires in the middle of the answer."""
    readers = app.service.readers

    async def ask() -> tuple[int, Mapping[str, str], bytes]:
        async with call(url, "POST", body) as found:
            return found.status, found.headers, await found.body()

    asking = asyncio.create_task(ask())
    await eventually(lambda: bool(readers.attached))
    for reader in readers.attached:
        readers.send_away(reader, TOKEN_EXPIRED)
    return await asking


async def test_a_whole_answer_can_be_found_after_the_token() -> None:
    """Who waits for all of it is told where it is, and finds it alive with a new token."""
    app = Tidegate(models={"m": answer})
    async with serving(app) as url:
        path, body = NATIVE
        status, headers, _ = await expired(app, url + path, body)
        assert status == 401
        assert headers["location"] == f"{path}/{headers['tidegate-stream']}"
        assert (await fetch(url + headers["location"]))[2]["status"] == "running"
    await app.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat_completion_is_not_generated_for_nobody(stream: bool) -> None:
    """Its client cannot come back to it: when its token expires the answer is cancelled, as when it leaves."""
    app = Tidegate(models={"m": answer})
    async with serving(app) as url:
        path, body = CHAT
        _, headers, content = await expired(app, url + path, {**body, "stream": stream})
        assert b"token_expired" in content
        _, _, found = await fetch(f"{url}/v1/streams/{headers['tidegate-stream']}")
        assert found["status"] == "cancelled"
    await app.close()


@pytest.mark.parametrize("query", ["", "?snapshot=1"])
async def test_a_reader_that_cannot_be_served_takes_no_seat(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """Whatever fails before the first byte leaves nobody attached."""

    def fail(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        raise InternalError("these headers cannot be sent")

    app = Tidegate(models={"m": answer})
    async with serving(app) as url:
        _, _, made = await fetch(url + NATIVE[0], "POST", {**NATIVE[1], "background": True})
        monkeypatch.setattr(tidegate.routes.call, "raw_headers", fail)
        status, _, _ = await fetch(f"{url}{NATIVE[0]}/{made['id']}/events{query}")
        assert status == 500
        assert not app.service.readers.attached
    await app.close()
