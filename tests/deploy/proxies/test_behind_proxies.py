"""What a caller has of two nodes behind nginx or Caddy, as these are shipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from eventually_kit import eventually
from pair_kit import BURST
from way_kit import HTTP, HTTP2, OWNER, PATIENCE, Filled, Stack, Way

from tidegate.config.settings import LimitSettings
from tidegate.core.sse import Decoder, ServerSentEvent

pytestmark = pytest.mark.anyio

LIMIT = LimitSettings().max_body_bytes
BELOW = Way(prefix="/llm")
JSON = {"content-type": "application/json"}


class Reader:
    """Follows a stream, and comes back with its cursor as often as it is cut off."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.statuses: list[int] = []
        self.ended = False

    async def follow(self, client: httpx.AsyncClient, filled: Filled) -> None:
        cursor = ""
        while not self.ended:
            headers = {"last-event-id": cursor} if cursor else {}
            with suppress(httpx.TransportError, StopAsyncIteration):
                async with client.stream("GET", f"{filled.path}/events", headers=headers) as response:
                    self.statuses.append(response.status_code)
                    assert response.status_code == 200
                    async for event in events_of(response):
                        cursor = event.id or cursor
                        self.ended = event.event == "completed"
                        self.words += [json.loads(event.data)["text"]] if event.event == "delta" else []


async def events_of(response: httpx.Response) -> AsyncIterator[ServerSentEvent]:
    decoder = Decoder()
    async for chunk in response.aiter_bytes():
        for event in decoder.feed(chunk):
            yield event


async def test_a_node_that_is_killed_costs_its_readers_a_reconnect(stack: Stack) -> None:
    """Nobody loses a token or has one twice, readers of the other node notice nothing, and the producer goes on."""
    words = [f"w{number} " for number in range(12)]
    async with HTTP.client(stack.front) as plain, HTTP2.client(stack.front) as other:
        filled = await Filled.open(other)
        readers: list[Reader] = []
        following: list[asyncio.Task[None]] = []

        async def are_at_both_nodes() -> bool:
            for client in (plain, other):
                readers.append(Reader())
                following.append(asyncio.create_task(readers[-1].follow(client, filled)))
            await eventually(lambda: all(reader.statuses for reader in readers), within=PATIENCE)
            told = (await plain.get(f"{stack.nodes.far.url}/v1/admin/connections")).json()["data"]
            return len({each["node"] for each in told if filled.id in json.dumps(each)}) == 2

        await eventually(are_at_both_nodes, within=PATIENCE)
        for word in words[:6]:
            await filled.append(word)
        await eventually(lambda: all(reader.words == words[:6] for reader in readers), within=PATIENCE)
        stack.nodes.near.kill()
        try:
            for word in words[6:]:
                await filled.append(word)
            await filled.complete()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*following)
        finally:
            stack.nodes.near.start()
    assert [reader.words for reader in readers] == [words] * len(readers)
    assert {len(reader.statuses) for reader in readers} == {1, 2}


async def test_the_clients_address_counts(stack: Stack) -> None:
    """Who tries too many keys is refused, whatever address it claims, and nobody besides."""

    async def tried(address: str, claimed: str) -> int:
        headers = {"authorization": "Bearer wrong", "x-forwarded-for": claimed}
        return (await coming_from[address].get(f"{stack.front.url}/v1/streams", headers=headers)).status_code

    async with from_address("127.0.0.2") as guessing, from_address("127.0.0.3") as honest:
        coming_from = {"127.0.0.2": guessing, "127.0.0.3": honest}

        async def many_tried() -> bool:
            return 429 in await asyncio.gather(*(tried("127.0.0.2", "127.0.0.3") for _ in range(2 * BURST)))

        await eventually(many_tried, within=PATIENCE)
        assert await tried("127.0.0.3", "127.0.0.2") == 401


def from_address(address: str) -> httpx.AsyncClient:
    """A client at another address of this machine."""
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=address), timeout=PATIENCE)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": "Bearer wrong"}, 401, "invalid_credentials"),
        ({"authorization": "Bearer"}, 401, "invalid_credentials"),
        ({"host": "elsewhere.example.com"}, 400, "host_not_allowed"),
        ({"origin": "https://elsewhere.example.com"}, 403, "origin_not_allowed"),
        ({"content-length": "0"}, 400, "invalid_json"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_refusal_is_tidegates_own(stack: Stack, headers: dict[str, str], status: int, code: str) -> None:
    """The proxy has no words of its own for what a node refuses."""
    async with HTTP.client(stack.front) as client:
        answer = await client.post("/v1/streams", headers={**JSON, **headers})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


async def test_too_large_a_head_is_refused_as_one(stack: Stack) -> None:
    """By Caddy itself; nginx lets tidegate say so."""
    async with HTTP.client(stack.front) as client:
        answer = await client.post("/v1/streams", headers={"x-one": 40_000 * "x", "x-two": 40_000 * "x"})
    assert answer.status_code == 431
    assert stack.front.name != "nginx" or answer.json()["error"]["code"] == "headers_too_large"


@pytest.mark.parametrize("way", [HTTP, HTTP2], ids=str)
async def test_a_body_may_be_as_large_as_tidegate_allows(stack: Stack, way: Way) -> None:
    """All of it arrives."""
    around = len(json.dumps({"model": "nobody's", "prompt": ""}))
    async with way.client(stack.front) as client:
        body = {"model": "nobody's", "prompt": "x" * (LIMIT - around)}
        answer = await client.post("/v1/streams", content=json.dumps(body), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


PIECE = b" " * 65536
CHUNK = b"10000\r\n%b\r\n" % PIECE


@pytest.mark.parametrize(
    ("length", "first", "more"),
    [
        (f"content-length: {LIMIT + 1}", b"", PIECE),
        ("transfer-encoding: chunked", CHUNK * (LIMIT // len(PIECE) + 1), CHUNK),
    ],
    ids=["length", "chunked"],
)
async def test_what_is_larger_is_refused_by_tidegate(stack: Stack, length: str, first: bytes, more: bytes) -> None:
    """With its own error; where the head says how long the body is, before it has been sent."""
    host = stack.front.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    lines = ["POST /v1/streams HTTP/1.1", f"host: {host}", length, *(f"{k}: {v}" for k, v in {**OWNER, **JSON}.items())]
    answer = asyncio.create_task(reader.readuntil(b"}}"))

    def is_answered() -> bool:
        # Caddy answers between two pieces of the body.
        writer.write(more)
        return answer.done()

    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + first)
        await eventually(is_answered, within=PATIENCE)
    finally:
        answer.cancel()
        writer.transport.abort()
    assert answer.result().startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer.result()
    assert b'"request_id":"req_' in answer.result()


async def test_links_lead_through_the_proxy(stack: Stack) -> None:
    """`Location`, links to shared answers and what the pages load are below the prefix."""
    async with BELOW.client(stack.front, follow_redirects=False) as client:
        opened = await client.post("/v1/streams", json={"producer": "client"})
        assert opened.headers["location"] == f"{stack.public_url}/v1/streams/{opened.json()['id']}"
        shared = (await client.post(f"/v1/streams/{opened.json()['id']}/share")).json()["url"]
        assert shared.startswith(f"{stack.public_url}/s/")
        assert (await client.get(shared)).status_code == 200
        moved = await client.get(f"{stack.front.url}/llm")
        assert (moved.status_code, moved.headers["location"]) == (308, "/llm/")
        for page in ("/", "/docs", "/room/lobby", "/web/chat.js", "/web/theme.css", "/openapi.json", "/healthz"):
            assert (await client.get(page)).status_code == 200, page
        own = await client.get("/", headers={"x-request-id": "mine"})
        assert own.headers["x-request-id"] == "mine"


async def test_readers_of_both_nodes_are_counted(stack: Stack) -> None:
    """Whichever node the question comes to."""
    async with BELOW.client(stack.front) as client:
        filled = await Filled.open(client)
        near, far = (f"{node.url}{filled.path}/events" for node in stack.nodes)
        async with client.stream("GET", near), client.stream("GET", far):

            async def are_counted() -> bool:
                answers = [await client.get(f"{filled.path}/readers") for _ in range(4)]
                return [each.json() for each in answers] == [{"readers": 2}] * 4

            await eventually(are_counted, within=PATIENCE)
            await filled.complete()
