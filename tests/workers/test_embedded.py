from __future__ import annotations

import pytest

from tidegate.config import Settings
from tidegate.providers.llama.lane_words import LanePlace
from tidegate.providers.settings import LlamaModel, ReplayModel, SharedLlamaModel
from tidegate.workers.embedded import EmbeddedModels, lent

REPLAY = ReplayModel(name="r")
LLAMA = LlamaModel(name="l", path="m.gguf", parallel=2, max_queue=7)


def test_a_worker_asks_its_parent_for_the_embedded_models() -> None:
    """With the settings that they have; all others are the worker's own."""
    settings = lent(Settings(models=(REPLAY, LLAMA)), {"l": LanePlace(9, "key")})
    assert settings.models[0] == REPLAY
    shared = settings.models[1]
    assert isinstance(shared, SharedLlamaModel)
    assert (shared.port, shared.key) == (9, "key")
    assert (shared.name, shared.path, shared.concurrency, shared.max_queue) == ("l", "m.gguf", 2, 7)


def test_no_file_can_name_a_place() -> None:
    """It is the parent that knows it."""
    settings = Settings(models=(REPLAY,))
    assert lent(settings, {}) == settings
    assert "port" not in LlamaModel.__struct_fields__


@pytest.mark.anyio
async def test_without_embedded_models_nothing_is_run() -> None:
    """There is no place, and nothing to end."""
    models = EmbeddedModels()
    models.take(await models.prepare([REPLAY]))
    assert not models.hosted
    await models.close()
