"""A client of the native WebSocket that can break its connection wherever it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

JSON = "tidegate.v1"
MSGPACK = "tidegate.v1.msgpack"


class CallFailed(Exception):
    """What the server has refused; `error` is its body."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["code"], error["message"])
        self.error = error
        self.code: str = error["code"]


class SocketClient:
    """Sends calls and sorts what comes: answers by id, events by stream or topic, in `events` all of them."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.codec = msgspec.msgpack if connection.subprotocol == MSGPACK else msgspec.json
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.seen: list[dict[str, Any]] = []
        self.unasked: list[dict[str, Any]] = []
        self._answers: dict[object, asyncio.Future[dict[str, Any]]] = {}
        self._ids = count(1)
        self._reading = asyncio.create_task(self._read())

    async def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """The `ok` of a call. Raises `CallFailed`, or `ConnectionClosed`."""
        return await self.begin(op, **fields)

    def begin(self, op: str, **fields: Any) -> asyncio.Future[dict[str, Any]]:
        """The same without waiting."""
        id = next(self._ids)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        sending = asyncio.ensure_future(self.send({"id": id, "op": op, **fields}))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        return answer

    async def send(self, message: object) -> None:
        encoded = self.codec.encode(message)
        await self.connection.send(encoded.decode() if self.codec is msgspec.json else encoded)

    async def event(self, within: float = 10) -> dict[str, Any]:
        """The next event. Raises `TimeoutError` or `ConnectionClosed`."""
        async with asyncio.timeout(within):
            getting = asyncio.ensure_future(self.events.get())
            done, _ = await asyncio.wait((getting, self._reading), return_when=asyncio.FIRST_COMPLETED)
            if getting in done:
                return getting.result()
            getting.cancel()
            await self._reading
            raise AssertionError("the connection has ended")

    async def until(self, *types: str, within: float = 20) -> list[dict[str, Any]]:
        """The events up to the first of these types."""
        found = [await self.event(within)]
        while found[-1]["type"] not in types:
            found.append(await self.event(within))
        return found

    async def closed(self, within: float = 10) -> int:
        """The code that the server closes with."""
        async with asyncio.timeout(within):
            with suppress(ConnectionClosed):
                await asyncio.shield(self._reading)
        assert self.connection.close_code is not None
        return self.connection.close_code

    async def stop(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        for answer in self._answers.values():
            answer.cancel()

    async def _read(self) -> None:
        try:
            async for raw in self.connection:
                self._sort(self.codec.decode(raw))
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.cancel()
        raise ConnectionClosed(None, None)

    def _sort(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            self.seen.append(message)
            self.events.put_nowait(message)
        elif message["id"] is None:
            self.unasked.append(message)
        elif "error" in message:
            self._answers.pop(message["id"]).set_exception(CallFailed(message["error"]))
        else:
            self._answers.pop(message["id"]).set_result(message["ok"])


@asynccontextmanager
async def socket(
    url: str, subprotocol: str = JSON, *, token: str = "", headers: Mapping[str, str] | None = None
) -> AsyncIterator[SocketClient]:
    """Connects to `/v1/ws`; leaving cuts the connection."""
    offered = [subprotocol, *([f"bearer.{token}"] if token else [])]
    connection = await connect(
        url.replace("http", "ws", 1) + "/v1/ws",
        subprotocols=offered,  # type: ignore[arg-type]
        additional_headers=headers,
        max_size=1 << 26,
        ping_interval=None,
    )
    client = SocketClient(connection)
    try:
        yield client
    finally:
        await client.stop()
        connection.transport.abort()
