"""Fills a stream from a program that awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tidegate.client.production import Production


class AsyncProducer:
    """A stream that this program fills; it is opened when it is entered, and ended as `Producer` is.

    While nothing is appended, a task tells the server that the program is still there.
    """

    def __init__(self, production: Production) -> None:
        self._production = production
        self._keeping: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self._production.id

    @property
    def text(self) -> str:
        """What an earlier run of the program has written with this key."""
        return self._production.text

    @property
    def offset(self) -> int:
        """How many events the server has, `started` included."""
        return self._production.offset

    @property
    def ended(self) -> bool:
        """Whether nothing more can be appended."""
        return self._production.ended

    @property
    def cancelled(self) -> bool:
        """Whether somebody else has ended the stream: a reader who cancelled it, say. A task finds out."""
        return self._production.cancelled

    async def delta(self, text: str) -> None:
        await self._production.delta(text)

    async def append(self, type: str, data: Mapping[str, Any]) -> None:
        """Appends an event, and returns when the server has it. Raises as `Producer.append`."""
        await self._production.append(type, data)

    async def complete(self, finish_reason: str = "stop", usage: Mapping[str, int] | None = None) -> None:
        await self._production.complete(finish_reason, usage)

    async def fail(self, message: str, code: str = "producer_failed") -> None:
        await self._production.fail(message, code)

    async def close(self) -> None:
        """Leaves the stream as it is: it fails when the lease runs out, if no other run of the program goes on."""
        self._production.close()
        if self._keeping is not None:
            self._keeping.cancel()
            # Not awaited: a cancellation of the caller is one, and no end of the task's.
            await asyncio.wait({self._keeping})

    async def __aenter__(self) -> Self:
        await self._production.open()
        self._keeping = asyncio.create_task(self._production.keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._production.leave(error)
        finally:
            await self.close()
