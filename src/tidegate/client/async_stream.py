"""One stream, or topic, for a program that awaits."""

from __future__ import annotations

from typing import Self

from tidegate.client.api import Api, Table
from tidegate.client.awaiting import settled
from tidegate.client.reader import Reader
from tidegate.client.session import Event


class AsyncStream:
    """One stream, or topic, as it comes: an asynchronous iterator of events, which holds across lost connections.

    A task that is cancelled while it waits for an event leaves no connection; who iterates again goes on where it was.
    """

    def __init__(self, reader: Reader, api: Api, *, is_topic: bool = False) -> None:
        self._reader = reader
        self._api = api
        self._is_topic = is_topic

    @property
    def id(self) -> str:
        """The id of the stream, or the name of the topic."""
        return self._reader.name

    @property
    def cursor(self) -> str:
        """The position after the last event, for `follow` and `subscribe`; empty before the first."""
        return self._reader.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._reader.next()
        if event is None:
            raise StopAsyncIteration
        self._reader.handed = event
        return event

    async def text(self) -> str:
        """Reads on to the end, and returns the whole text. Raises where the stream has failed or was cancelled."""
        return await self._reader.text()

    async def cancel(self, reason: str | None = None) -> Table:
        """Ends the stream on the server; its last event then says so."""
        return await self._api.cancel(self.id, reason)

    async def close(self) -> None:
        """Leaves the stream, which goes on without this reader."""
        self._reader.close()
        await settled()

    async def __aenter__(self) -> Self:
        if self._is_topic:
            await self._reader.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
