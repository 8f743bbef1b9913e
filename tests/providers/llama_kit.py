"""Answers of the embedded model that go on while a test does something else."""

from __future__ import annotations

import asyncio

from tidegate.core.events import GenerationRequest
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.testing.sink import RecordingSink

END_OF_TURN = "2"
"""The token that ends SmolLM2's answers; forbidden, it goes on until it is stopped."""


class Running:
    """A generation in its own task."""

    def __init__(self, provider: LlamaProvider, request: GenerationRequest) -> None:
        self.sink = RecordingSink()
        self.task = asyncio.create_task(provider.generate(request, self.sink))

    async def speaks(self) -> Running:
        async with asyncio.timeout(30):
            await self.sink.holds(3)
        return self

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
