"""Gives the messages of a detached WebSocket to its application, which has returned."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, Protocol, cast

from tidegate.serving.small_buffers import MessageQueue
from tidegate.serving.ws_wire import Listener


class Host(Protocol):
    """The socket's protocol, as far as it is used here."""

    queue: Any
    tasks: set[asyncio.Task[None]]

    async def receive(self) -> Any:
        """The next message of ASGI."""
        ...

    def failed(self, error: BaseException) -> None:
        """The listener has raised, or was cancelled since the server stops: leaves it only the disconnect to hear."""
        ...


class Listening:
    """Calls the listener with each message, one after the other, in a task that lasts for as long as messages wait.

    The task has the context in which the listening was begun.
    """

    __slots__ = ("_context", "_host", "_listener", "_task")

    def __init__(self, host: Host, listener: Listener) -> None:
        self._host = host
        self._listener: Listener | None = listener
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self._queue.on_item(self._wake)
        self._wake()

    def stop(self) -> None:
        """Gives it no further messages."""
        self._listener = None
        self._queue.on_item(None)

    @property
    def _queue(self) -> MessageQueue[Any]:
        return cast("MessageQueue[Any]", self._host.queue)

    def _wake(self) -> None:
        if self._listener is not None and self._task is None and not self._queue.empty():
            self._task = asyncio.get_running_loop().create_task(self._run(), context=self._context)
            # The server waits for these tasks before it stops.
            self._host.tasks.add(self._task)
            # Not by a `finally` in the task: one that is cancelled before its first step never comes to that.
            self._task.add_done_callback(self._done, context=self._context)

    async def _run(self) -> None:
        while self._listener is not None and not self._queue.empty():
            await self._listener(await self._host.receive())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._host.tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._host.failed(error)
        # For what has come since the task ended.
        self._wake()
