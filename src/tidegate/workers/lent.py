"""What the parent has for its workers: the lanes of its embedded models, and the keys that it has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tidegate.config import Settings
from tidegate.providers.llama.lane_words import LanePlace
from tidegate.providers.settings import (
    KeyedOpenAIModel,
    LlamaModel,
    ModelSettings,
    OpenAIModel,
    SharedLlamaModel,
)


def lent(settings: Settings, places: Mapping[str, LanePlace], keys: Mapping[str, Sequence[str]]) -> Settings:
    """The settings of a worker, whose embedded models are the parent's, and which reads no keys itself."""
    return msgspec.structs.replace(settings, models=tuple(_lent(each, places, keys) for each in settings.models))


def _lent(model: ModelSettings, places: Mapping[str, LanePlace], keys: Mapping[str, Sequence[str]]) -> ModelSettings:
    fields = msgspec.structs.asdict(model)
    if isinstance(model, LlamaModel):
        place = places[model.name]
        return SharedLlamaModel(**fields, port=place.port, key=place.key)
    if isinstance(model, OpenAIModel):
        return KeyedOpenAIModel(**fields, keys=tuple(keys[model.name]))
    return model
