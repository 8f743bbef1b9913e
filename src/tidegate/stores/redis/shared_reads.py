"""Reads that many readers share: those who ask for the same at the same time cost Redis one command."""

from __future__ import annotations

import asyncio
from asyncio import Future
from typing import Protocol

from tidegate.core.cursor import Cursor
from tidegate.stores.records import Found

Asked = tuple[Cursor | None, int, int]


class Read(Protocol):
    """Reads one log, as `Log.read`."""

    async def __call__(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Found: ...


class SharedReads:
    """The reads of one log that are under way."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: dict[Asked, list[Future[Found]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, after: Cursor | None, *, limit: int, max_bytes: int) -> Future[Found]:
        """The answer to a read, which may be under way for others. Each asker has its own future, and may cancel it."""
        asked = (after, limit, max_bytes)
        loop = asyncio.get_running_loop()
        answer: Future[Found] = loop.create_future()
        if (waiting := self._waiting.get(asked)) is not None:
            waiting.append(answer)
            return answer
        self._waiting[asked] = waiting = [answer]
        task = loop.create_task(self._answer(asked, waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return answer

    def part(self) -> None:
        """Lets nobody join the reads that are under way: the log has changed since they began."""
        self._waiting.clear()

    async def _answer(self, asked: Asked, waiting: list[Future[Found]]) -> None:
        after, limit, max_bytes = asked
        found: Found | Exception
        try:
            found = await self._read(after, limit=limit, max_bytes=max_bytes)
        except Exception as error:
            # Also after a bug nobody must wait for ever.
            found = error
        if self._waiting.get(asked) is waiting:
            del self._waiting[asked]
        for answer in waiting:
            if answer.done():
                continue
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)
