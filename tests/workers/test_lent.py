from __future__ import annotations

from tidegate.config import Settings
from tidegate.providers.keys import keys_of
from tidegate.providers.llama.lane_words import LanePlace
from tidegate.providers.settings import LlamaModel, OpenAIModel, ReplayModel, SharedLlamaModel
from tidegate.workers.lent import lent

REPLAY = ReplayModel(name="r")
LLAMA = LlamaModel(name="l", path="m.gguf", parallel=2, max_queue=7)
REMOTE = OpenAIModel(name="o", base_url="http://127.0.0.1:9/v1", api_key_file="/nowhere", max_queue=7)


def test_a_worker_asks_its_parent_for_the_embedded_models() -> None:
    """With the settings that they have; all others are the worker's own."""
    settings = lent(Settings(models=(REPLAY, LLAMA)), {"l": LanePlace(9, "key")}, {})
    assert settings.models[0] == REPLAY
    shared = settings.models[1]
    assert isinstance(shared, SharedLlamaModel)
    assert (shared.port, shared.key) == (9, "key")
    assert (shared.name, shared.path, shared.concurrency, shared.max_queue) == ("l", "m.gguf", 2, 7)


def test_a_worker_has_the_keys_that_its_parent_has_read() -> None:
    """Its file may be another one by then, or none: each worker would have a key of its own, or could not start."""
    (model,) = lent(Settings(models=(REMOTE,)), {}, {"o": ("sk-1",)}).models
    assert keys_of(model, {}) == ("sk-1",)
    assert (model.name, model.max_queue) == ("o", 7)


def test_no_file_can_name_what_is_lent() -> None:
    """It is the parent that knows it."""
    settings = Settings(models=(REPLAY,))
    assert lent(settings, {}, {}) == settings
    assert "port" not in LlamaModel.__struct_fields__
    assert "keys" not in OpenAIModel.__struct_fields__
