"""The models that this process serves: each a provider, started when it is first needed, and its queue."""

from __future__ import annotations

import asyncio

from tidegate.core.events import GenerationRequest
from tidegate.providers.base import Provider, Sink
from tidegate.streams.admission import Admission


class Model:
    """One entry of `[[models]]` at work; a `Provider` itself, which starts the one it stands for."""

    def __init__(self, name: str, provider: Provider, *, max_concurrency: int, max_queue: int) -> None:
        self.name = name
        self.admission = Admission(name, max_concurrency=max_concurrency, max_queue=max_queue)
        self._provider = provider
        self._starting = asyncio.Lock()
        self._started = False

    async def start(self) -> None:
        """Gets the provider ready, once. Raises `ConfigError` where it never can be; then the next call tries again."""
        async with self._starting:
            if not self._started:
                await self._provider.start()
                self._started = True

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        if not self._started:
            await self.start()
        await self._provider.generate(request, sink)

    async def close(self) -> None:
        if self._started:
            self._started = False
            await self._provider.close()
