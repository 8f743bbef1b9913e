"""The processes that run one model, and the order in which they are asked.

Plain answers share one process, which decodes several at once. Answers with a grammar have another, one at a time.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from tidegate.errors import ConfigError
from tidegate.providers.base import Provider
from tidegate.providers.llama.process import LlamaProcess
from tidegate.providers.llama.shaped import ShapedLane
from tidegate.providers.llama.slots import Slots
from tidegate.providers.llama.supervisor import Supervisor
from tidegate.providers.llama.upstream import upstream_at
from tidegate.providers.llama.weights import weights
from tidegate.providers.settings import LlamaModel, unusable

Answers = Callable[[], None]
"""To be called when an answer has begun: the next prompt may be sent. Harmless when repeated."""


class Llama(Protocol):
    """A process that runs llama.cpp, as much as a generation uses of it."""

    @property
    def upstream(self) -> Provider:
        """What sends requests to it."""
        ...

    @property
    def death(self) -> str | None:
        """How it ended; None while it lives, as far as is known."""
        ...

    async def died_within(self, seconds: float) -> bool:
        """Whether it is dead, or dies in this time."""
        ...


class Lanes(Protocol):
    """The two lanes of a model: to processes of this one, or to those of another (`SharedLanes`)."""

    async def start(self) -> None:
        """Returns when requests are taken. Raises `ConfigError` where the model cannot be loaded."""
        ...

    async def plain(self, ask: Callable[[Llama, Answers], Awaitable[bool]]) -> None:
        """Calls `ask` with the process once it is this generation's turn, and with the next one for as long as it
        returns False. Raises what `ask` does, and `ProviderCrashed` where there is no process."""
        ...

    async def shaped(self, ask: Callable[[Llama], Awaitable[None]]) -> bool:
        """Calls `ask` with the process of the answers that have a grammar, in turn. False where it was stuck, and was
        ended. Raises what `ask` does, and `ProviderCrashed`."""
        ...

    async def close(self) -> None:
        """Ends this process's part in it."""
        ...


class OwnLanes:
    """The `Lanes` to children of this process. Both parts are public for tests."""

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._slots = Slots(model.parallel)
        self.supervisor = Supervisor(partial(self._launch, model.parallel))
        self.shaped_lane = ShapedLane(partial(self._launch, 1))
        self._weights = ""

    async def start(self) -> None:
        self._weights = str(weights(self._model))
        if importlib.util.find_spec("xllamacpp") is None:
            raise unusable(self._model, "provider", "llama", "needs llama.cpp: pip install 'tidegate[local]'")
        try:
            await self.supervisor.start()
        except ConfigError as error:
            raise unusable(self._model, "path", self._model.path, error.message) from error

    async def plain(self, ask: Callable[[LlamaProcess, Answers], Awaitable[bool]]) -> None:
        async with self._slots.turn() as turn:
            turn.process = await self.supervisor.running()
            while not await ask(turn.process, turn.answers):
                turn.process = await self.supervisor.running()

    async def shaped(self, ask: Callable[[LlamaProcess], Awaitable[None]]) -> bool:
        return await self.shaped_lane.run(ask)

    async def close(self) -> None:
        await self._slots.close()
        await asyncio.gather(self.supervisor.close(), self.shaped_lane.close())

    async def _launch(self, parallel: int) -> LlamaProcess:
        process = await LlamaProcess.launch(self._weights, parallel=parallel, context=self._model.context)
        process.upstream = await upstream_at(process.address, process.api_key, self._model.name)
        return process
