"""The embedded models of all workers: the parent runs them, and the workers are lent their lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tidegate.config import Settings
from tidegate.providers.llama.lane_words import LanePlace
from tidegate.providers.settings import LlamaModel, ModelSettings, SharedLlamaModel

if TYPE_CHECKING:
    from tidegate.providers.llama.lane_host import LaneHost


class EmbeddedModels:
    """Those of `models` that llama.cpp runs. `place` is where their lanes are lent; None where there are none."""

    def __init__(self, models: Sequence[ModelSettings]) -> None:
        self.place: LanePlace | None = None
        self._models = [model for model in models if isinstance(model, LlamaModel)]
        self._host: LaneHost | None = None

    async def start(self) -> None:
        """Returns when all of them take requests. Raises `ConfigError`."""
        if self._models:
            from tidegate.providers.llama.lane_host import LaneHost

            self._host = LaneHost(self._models)
            self.place = await self._host.start()

    async def close(self) -> None:
        """Ends them."""
        if self._host is not None:
            await self._host.close()


def lent(settings: Settings, place: LanePlace | None) -> Settings:
    """The settings of a worker, whose embedded models are the parent's."""
    if place is None:
        return settings
    models = tuple(_shared(model, place) if isinstance(model, LlamaModel) else model for model in settings.models)
    return msgspec.structs.replace(settings, models=models)


def _shared(model: LlamaModel, place: LanePlace) -> SharedLlamaModel:
    return SharedLlamaModel(**msgspec.structs.asdict(model), port=place.port, key=place.key)
