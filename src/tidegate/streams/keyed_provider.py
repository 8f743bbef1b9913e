"""A provider whose keys are read when it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from tidegate.core.events import GenerationRequest
from tidegate.providers.base import Provider, Sink
from tidegate.providers.keys import keys_of
from tidegate.providers.settings import ModelSettings
from tidegate.streams.aside import aside


class KeyedProvider:
    """The `Provider` that `make` makes of the model's keys, which are read at its start: an application may be put
    together before its environment is. `keys` are those it has; None before the start."""

    def __init__(self, model: ModelSettings, make: Callable[[ModelSettings, Sequence[str]], Provider]) -> None:
        self.keys: tuple[str, ...] | None = None
        self._model = model
        self._make = make
        self._provider: Provider

    async def start(self) -> None:
        """Reads the keys. Raises `ConfigError` where one is unfit, or the provider cannot start with them."""
        keys = await aside(partial(keys_of, self._model, os.environ))
        self._provider = self._make(self._model, keys)
        await self._provider.start()
        self.keys = keys

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        await self._provider.generate(request, sink)

    async def close(self) -> None:
        await self._provider.close()
