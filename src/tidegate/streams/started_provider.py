"""A provider from its first use to its close."""

from __future__ import annotations

import asyncio
from contextvars import Context

from tidegate.core.events import GenerationRequest
from tidegate.providers.base import Provider, Sink


class StartedProvider:
    """A `Provider` that starts the one it is made with when it is first needed, and counts what that one answers."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._started: asyncio.Task[None] | None = None
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Starts the provider, once. Raises `ConfigError` where it cannot start; the next call tries again."""
        if self._started is None or has_failed(self._started):
            # What the provider starts, e.g. a process, does not belong to the trace of the first request.
            self._started = asyncio.get_running_loop().create_task(self._provider.start(), context=Context())
        # All callers share the start, so the cancellation of one must not stop it.
        await asyncio.shield(self._started)

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Starts the provider if need be, and has it answer. Raises `ConfigError`, too."""
        self._answering += 1
        self._idle.clear()
        try:
            await self.start()
            await self._provider.generate(request, sink)
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def idle(self) -> None:
        """Waits until it answers nothing."""
        await self._idle.wait()

    async def close(self) -> None:
        """Closes the provider; a later `start` starts it again."""
        if self._started is not None:
            await asyncio.wait((self._started,))
            failed = has_failed(self._started)
            self._started = None
            if not failed:
                await self._provider.close()


def has_failed(task: asyncio.Task[None]) -> bool:
    """Whether the task was cancelled or has raised."""
    return task.done() and (task.cancelled() or task.exception() is not None)
