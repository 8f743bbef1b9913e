"""The ways to a server behind a proxy: versions of HTTP, with TLS or without, compressed, below a prefix."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import httpx
from front_kit import Front
from pair_kit import KEY, Pair
from websockets.asyncio.client import ClientConnection, connect

from tidegate.core.sse import Decoder, ServerSentEvent

PATIENCE = 30.0
"""Seconds that anything may take, on a machine that has much else to do."""

OWNER = {"authorization": f"Bearer {KEY}"}


class Stack(NamedTuple):
    """A proxy that is shipped, and the nodes behind it. Their public URL has the proxy's prefix."""

    front: Front
    nodes: Pair

    @property
    def public_url(self) -> str:
        return f"{self.front.url}/llm"


class Way(NamedTuple):
    """How a client comes: `gzip` is what it asks for, `prefix` the path that the server is below."""

    tls: bool = False
    http2: bool = False
    gzip: bool = False
    prefix: str = ""

    def __str__(self) -> str:
        named = {"https": self.tls, "2": self.http2, "gzip": self.gzip, "prefix": bool(self.prefix)}
        return "-".join(name for name, is_so in named.items() if is_so) or "http"

    def base(self, front: Front) -> str:
        return (front.tls_url if self.tls else front.url) + self.prefix

    @asynccontextmanager
    async def client(self, front: Front, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(
            base_url=self.base(front),
            http2=self.http2,
            verify=front.trusting,
            timeout=PATIENCE,
            headers={**OWNER, "accept-encoding": "gzip" if self.gzip else "identity"},
            trust_env=False,
            **more,
        ) as client:
            yield client

    @asynccontextmanager
    async def socket(self, front: Front) -> AsyncIterator[Socket]:
        async with connect(
            self.base(front).replace("http", "ws", 1) + "/v1/ws",
            ssl=front.trusting if self.tls else None,
            subprotocols=["tidegate.v1"],  # type: ignore[list-item]
            additional_headers=OWNER,
            ping_interval=None,
            proxy=None,
        ) as connection:
            yield Socket(connection)


HTTP = Way()
HTTP2 = Way(tls=True, http2=True)


class Socket:
    """A native WebSocket, with one call under way at a time."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer of a call."""
        await self._connection.send(json.dumps({"id": 1, "op": op, **fields}))
        return await self.message()

    async def message(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self._connection.recv())


class Events:
    """The events of an answer, one by one, as they come, and the comments between them."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.text = ""
        self._chunks = response.aiter_bytes()
        self._decoder = Decoder()
        self._ready: list[ServerSentEvent] = []

    async def next(self) -> ServerSentEvent:
        """The next event. Raises `StopAsyncIteration` at the end, and `httpx.TransportError` where it breaks."""
        while not self._ready:
            await self.more()
        return self._ready.pop(0)

    async def until(self, kind: str) -> ServerSentEvent:
        while (event := await self.next()).event != kind:
            pass
        return event

    async def more(self) -> str:
        """The next piece, whatever it holds."""
        async with asyncio.timeout(PATIENCE):
            chunk = await anext(self._chunks)
        self._ready += self._decoder.feed(chunk)
        self.text += chunk.decode()
        return chunk.decode()


@asynccontextmanager
async def events(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> AsyncIterator[Events]:
    async with client.stream(method, path, **more) as response:
        if response.status_code != 200:
            await response.aread()
        assert response.status_code == 200, response.text
        yield Events(response)


class Filled:
    """A stream that the test fills itself, through the client."""

    def __init__(self, client: httpx.AsyncClient, opened: dict[str, Any]) -> None:
        self.id: str = opened["id"]
        self.path = f"/v1/streams/{self.id}"
        self._client = client
        self._lease: str = opened["lease"]["token"]
        self._tail: int = opened["offset"]

    @classmethod
    async def open(cls, client: httpx.AsyncClient, **more: Any) -> Self:
        answer = await client.post("/v1/streams", json={"producer": "client", **more})
        assert answer.status_code == 201, answer.text
        return cls(client, answer.json())

    async def append(self, text: str) -> None:
        await self._append({"type": "delta", "data": {"text": text}})

    async def complete(self) -> None:
        await self._append({"type": "completed", "data": {"finish_reason": "stop"}})

    async def _append(self, event: dict[str, Any]) -> None:
        body = {"lease": self._lease, "expected_offset": self._tail, "events": [event]}
        answer = await self._client.post(f"{self.path}/append", json=body)
        assert answer.status_code == 200, answer.text
        self._tail = answer.json()["offset"]
