"""Limits under load, over real sockets."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from typing import Self
from urllib.parse import urlsplit

import msgspec
import pytest
from api_kit import call, fetch

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, LimitSettings, Settings
from tidegate.core.events import GenerationRequest
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

CALLERS = 6
PER_MINUTE = 120
"""Twelve a second of all callers: as many as any machine answers, or nobody would ever be refused."""

BURST = 20
SECONDS = 3


class Caller:
    """One connection that asks for answers by an API key."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname, parts.port)
        body = msgspec.json.encode({"model": "counted", "prompt": key})
        self._request = (
            f"POST /v1/streams HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.statuses: Counter[int] = Counter()
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._place)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def ask(self) -> int:
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        await self._reader.readexactly(int(self.headers["content-length"]))
        status = int(head[0].split()[1])
        self.statuses[status] += 1
        return status

    async def flood(self, rate: float, seconds: float) -> tuple[float, float]:
        """Asks so many times a second, and then on until it is refused.

        Returns the shortest and the longest time that may lie between the first and the last answer of the server.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.ask()
        answered = loop.time()
        for turn in count(1):
            if (ahead := began + turn / rate - loop.time()) > 0:
                await asyncio.sleep(ahead)
            asked = loop.time()
            if await self.ask() == 429 and turn >= rate * seconds:
                return asked - answered, loop.time() - began
        raise AssertionError("never refused")

    def reset_s(self) -> float:
        found = re.fullmatch(r"(?:(\d+)m(?!s))?(?:([\d.]+)(ms|s))?", self.headers["x-ratelimit-reset-requests"])
        assert found is not None
        return int(found[1] or 0) * 60 + float(found[2] or 0) / (1000 if found[3] == "ms" else 1)


class Counted:
    """A model that counts what it was asked, by prompt."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def answer(self, request: GenerationRequest) -> AsyncIterator[str]:
        self.asked[request.prompt] += 1
        yield "x"


def limited(keys: list[str], **limits: int) -> Settings:
    known = tuple(
        ApiKey(name=f"caller{n}", sha256=key_sha256(key), scopes=("generate", "read")) for n, key in enumerate(keys)
    )
    return msgspec.structs.replace(EMBEDDED, auth=AuthSettings(keys=known), limits=LimitSettings(**limits))


async def test_flood() -> None:
    """Of six callers at ten times their limit each is let in as often as its limit says, and no model is asked more."""
    model = Counted()
    keys = [f"tg_{n}" for n in range(CALLERS)]
    app = Tidegate(limited(keys, requests_per_minute=PER_MINUTE, burst=BURST), models={"counted": model.answer})
    async with serving(app) as url:
        callers = [Caller(url, key) for key in keys]

        async def one(caller: Caller) -> tuple[float, float]:
            async with caller:
                return await caller.flood(10 * PER_MINUTE / 60, SECONDS)

        took = await asyncio.gather(*(one(caller) for caller in callers))
    await app.close()
    for key, caller, (shortest, longest) in zip(keys, callers, took, strict=True):
        assert set(caller.statuses) == {200, 429}
        # On a busy machine a caller may ask a little late for what has just become due.
        assert 0.9 * (BURST + shortest * PER_MINUTE / 60) <= caller.statuses[200]
        assert caller.statuses[200] <= BURST + longest * PER_MINUTE / 60
        assert model.asked[key] == caller.statuses[200]


async def test_a_client_that_obeys_is_never_refused() -> None:
    """Who waits for the reset when nothing remains is let in each time."""
    model = Counted()
    app = Tidegate(limited(["tg_0"], requests_per_minute=600, burst=6), models={"counted": model.answer})
    async with serving(app) as url, Caller(url, "tg_0") as caller:
        for _ in range(24):
            assert await caller.ask() == 200
            if caller.headers["x-ratelimit-remaining-requests"] == "0":
                await asyncio.sleep(caller.reset_s())
    await app.close()


async def test_retry_after_is_long_enough() -> None:
    """Who was refused, and waits for as long as it is told, is let in."""
    model = Counted()
    app = Tidegate(limited(["tg_0"], requests_per_minute=60, burst=2), models={"counted": model.answer})
    async with serving(app) as url, Caller(url, "tg_0") as caller:
        assert [await caller.ask() for _ in range(3)] == [200, 200, 429]
        assert caller.headers["retry-after"] == "1"
        await asyncio.sleep(int(caller.headers["retry-after-ms"]) / 1000)
        assert await caller.ask() == 200
    await app.close()


async def test_tokens_of_a_minute() -> None:
    """Tokens are taken in advance and settled with what was used; the headers say so."""
    model = Counted()
    app = Tidegate(limited(["tg_0"], tokens_per_minute=600), models={"counted": model.answer})
    body = {"model": "counted", "prompt": "x" * 40, "max_tokens": 500}
    headers = {"authorization": "Bearer tg_0"}
    async with serving(app) as url:
        async with call(f"{url}/v1/streams", "POST", {**body, "background": True}, headers) as answer:
            assert int(answer.headers["x-ratelimit-remaining-tokens"]) in range(90, 93)
            stream = (await answer.json())["id"]
        async with call(f"{url}/v1/streams/{stream}/events", headers=headers) as answer:
            events = [event async for event in answer.events()]
        assert events[-1].event == "completed"
        status, found, _ = await fetch(f"{url}/v1/streams/{stream}", headers=headers)
        assert status == 200
        assert int(found["x-ratelimit-remaining-tokens"]) > 580
        await fetch(f"{url}/v1/streams", "POST", {**body, "max_tokens": 580}, headers)
        status, found, refused = await fetch(f"{url}/v1/streams", "POST", {**body, "max_tokens": 590}, headers)
        assert (status, refused["error"]["code"]) == (429, "tokens_exhausted")
        assert int(found["retry-after-ms"]) > 0
    await app.close()


async def test_generations_at_once() -> None:
    """So many generations of a caller are live at once; the end of one makes room."""
    gate = asyncio.Event()

    async def answer(request: GenerationRequest) -> AsyncIterator[str]:
        await gate.wait()
        yield "x"

    app = Tidegate(limited(["tg_0", "tg_1"], concurrent_generations=2), models={"slow": answer})
    body = {"model": "slow", "prompt": "x", "background": True}
    async with serving(app) as url:

        async def start(key: str) -> tuple[int, str]:
            status, _, found = await fetch(f"{url}/v1/streams", "POST", body, {"authorization": f"Bearer {key}"})
            return status, found["id"] if status == 202 else found["error"]["code"]

        (_, first), _ = await start("tg_0"), await start("tg_0")
        assert await start("tg_0") == (429, "too_many_generations")
        assert (await start("tg_1"))[0] == 202
        gate.set()
        async with call(f"{url}/v1/streams/{first}/events", headers={"authorization": "Bearer tg_0"}) as answering:
            assert [event.event async for event in answering.events()][-1] == "completed"
        assert (await start("tg_0"))[0] == 202
    await app.close()


async def test_readers_at_once() -> None:
    """So many readers of a caller are attached at once. One more `EventSource` is told to come back; a request that
    would start a generation is refused before it does."""
    gate = asyncio.Event()

    async def answer(request: GenerationRequest) -> AsyncIterator[str]:
        await gate.wait()
        yield "x"

    app = Tidegate(limited(["tg_0"], readers_per_principal=1), models={"slow": answer})
    headers = {"authorization": "Bearer tg_0"}
    body = {"model": "slow", "prompt": "x"}
    async with serving(app) as url:
        async with call(f"{url}/v1/streams", "POST", {**body, "stream": True}, headers) as reading:
            events = reading.events()
            assert (await anext(events)).event == "started"
            stream = reading.headers["tidegate-stream"]
            async with call(f"{url}/v1/streams/{stream}/events", headers=headers) as late:
                assert late.status == 200
                assert [event.event async for event in late.events()] == ["reconnect"]
                assert 5000 <= (late.decoder.retry_ms or 0) <= 15_000
            status, _, refused = await fetch(f"{url}/v1/streams", "POST", body, headers)
            assert (status, refused["error"]["code"]) == (429, "too_many_readers")
            assert len((await fetch(f"{url}/v1/streams", headers=headers))[2]["data"]) == 1
            gate.set()
            assert [event.event async for event in events][-1] == "completed"
        async with call(f"{url}/v1/streams/{stream}/events", headers=headers) as again:
            assert [event.event async for event in again.events()][-1] == "completed"
    await app.close()


async def test_appends() -> None:
    """What a producer has to say is never refused for its number; what is refused, or says nothing, is a request."""
    headers = {"authorization": "Bearer tg_0"}
    app = Tidegate(limited(["tg_0"], requests_per_minute=60, burst=4))
    async with serving(app) as url:
        _, _, opened = await fetch(f"{url}/v1/streams", "POST", {"producer": "client"}, headers)
        target, offset = f"{url}/v1/streams/{opened['id']}/append", opened["offset"]

        async def append(lease: str, *texts: str) -> int:
            events = [{"type": "delta", "data": {"text": text}} for text in texts]
            body = {"lease": lease, "expected_offset": offset, "events": events}
            return (await fetch(target, "POST", body, headers))[0]

        token = opened["lease"]["token"]
        assert [await append("wrong", "x") for _ in range(2)] == [409] * 2
        assert await append(token) == 200
        assert (await append(token), await append("wrong", "x"), await append("wrong")) == (429, 429, 429)
        for _ in range(20):
            assert await append(token, "x") == 200
            offset += 1
        assert (await fetch(f"{url}/v1/models", headers=headers))[0] == 429
    await app.close()


async def test_appends_past_the_limit() -> None:
    """One that is large, packed or of no known length is refused by its head alone, the body never read. What brings
    nothing new is a request, so repeating has an end."""
    headers = {"authorization": "Bearer tg_0"}
    app = Tidegate(limited(["tg_0"], requests_per_minute=1, burst=3))
    async with serving(app) as url:
        _, _, opened = await fetch(f"{url}/v1/streams", "POST", {"producer": "client"}, headers)
        target, token, offset = f"{url}/v1/streams/{opened['id']}/append", opened["lease"]["token"], opened["offset"]

        async def append(expected: int, text: str = "x") -> int:
            events = [{"type": "delta", "data": {"text": text}}]
            return (
                await fetch(target, "POST", {"lease": token, "expected_offset": expected, "events": events}, headers)
            )[0]

        assert [await append(offset + n) for n in range(10)] == [200] * 10
        assert [await append(offset + 9) for _ in range(5)] == [200] * 2 + [429] * 3
        assert await append(offset + 10, "x" * 100_000) == 429
        for head in (
            "content-length: 100000",
            "transfer-encoding: chunked",
            "content-length: 9\r\ncontent-encoding: gzip",
        ):
            assert await refused_by_its_head(target, head) == 429
        assert [await append(offset + n) for n in (9, 9, 9, 9)] == [429] * 4
        assert await append(offset + 10) == 429
    await app.close()


async def refused_by_its_head(url: str, head: str) -> int:
    """The status of a POST of which nothing but the head was sent."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    fields = "authorization: Bearer tg_0\r\ncontent-type: application/json\r\n"
    writer.write(f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n{fields}{head}\r\n\r\n".encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return int(line.split()[1])
