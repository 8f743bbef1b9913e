"""The client for programs in a loop of asyncio: `Client`, with coroutines."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Self

from tidegate.client.api import Api, Table
from tidegate.client.async_producer import AsyncProducer
from tidegate.client.async_stream import AsyncStream
from tidegate.client.awaiting import AwaitingWire, settled
from tidegate.client.calls import AsyncCredential
from tidegate.client.production import APPEND_ATTEMPTS, Production
from tidegate.client.reader import OnState, Reader
from tidegate.client.settings import calls_over, endpoint_of
from tidegate.core.backoff import ATTEMPTS, MAX_DELAY


class AsyncClient:
    """A client of the tidegate server at `base_url`, as `Client` is, with the same names.

        async with AsyncClient("http://127.0.0.1:8000") as client:
            stream = await client.start({"model": "smollm2", "prompt": "Hello"})
            async for event in stream:
                print(event.type, event.data)

    `follow`, `subscribe` and `produce` are entered: `async with client.subscribe("room") as events`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: AsyncCredential | None = None,
        attempts: int | None = ATTEMPTS,
        *,
        max_delay: float = MAX_DELAY,
    ) -> None:
        self._wire = AwaitingWire(endpoint_of(base_url))
        self._api = Api(calls_over(self._wire, api_key, attempts, max_delay))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections that are kept for the next call; streams go on."""
        self._wire.close()
        await settled()

    async def start(
        self, body: Mapping[str, Any], *, key: str | None = None, on_state: OnState | None = None
    ) -> AsyncStream:
        """Starts a generation by the `body` of `POST /v1/streams`, and returns it once it has an id."""
        reader = Reader(self._api.calls, "", on_state=on_state)
        await reader.start(body, key)
        return AsyncStream(reader, self._api)

    def follow(self, id: str, after: str | None = None, *, on_state: OnState | None = None) -> AsyncStream:
        """A stream from its beginning, or from the cursor `after`. Nothing is asked before the first event is."""
        return AsyncStream(Reader(self._api.calls, id, after=after, on_state=on_state), self._api)

    def subscribe(self, topic: str, after: str | None = None, *, on_state: OnState | None = None) -> AsyncStream:
        """A topic from now on, or from the cursor `after`, or `earliest`. It is entered once `subscribed` has come."""
        return AsyncStream(
            Reader(self._api.calls, topic, is_topic=True, after=after, on_state=on_state), self._api, is_topic=True
        )

    async def publish(
        self, topic: str, data: object, type: str | None = None, *, state: bool = False, key: str | None = None
    ) -> str:
        """Publishes any JSON to a topic; returns its cursor."""
        return await self._api.publish(topic, data, type, state, key)

    def produce(
        self,
        key: str | None = None,
        *,
        metadata: Mapping[str, str] = {},
        attempts: int | None = APPEND_ATTEMPTS,
    ) -> AsyncProducer:
        """A stream that this program fills, or the one that was opened with this key; entering it opens it."""
        return AsyncProducer(Production(self._api.calls, key, metadata, attempts))

    async def cancel(self, id: str, reason: str | None = None) -> Table:
        return await self._api.cancel(id, reason)

    async def read(self, id: str) -> Table:
        return await self._api.read(id)

    async def list(self, limit: int | None = None, before: str | None = None, status: str | None = None) -> Table:
        return await self._api.list(limit, before, status)

    async def delete(self, id: str) -> None:
        await self._api.delete(id)

    async def share(self, id: str, ttl: int | None = None) -> Table:
        return await self._api.share(id, ttl)

    async def unshare(self, id: str) -> None:
        await self._api.unshare(id)

    async def presence(self, topic: str) -> builtins.list[Table]:
        return await self._api.presence(topic)

    async def models(self) -> builtins.list[str]:
        return await self._api.models()
