from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import pytest
from eventually_kit import eventually

from tidegate.config import Settings
from tidegate.errors import ConfigError
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.providers.settings import LlamaModel, ReplayModel
from tidegate.workers.embedded import EmbeddedModels, places_of
from tidegate.workers.lent import lent

REPLAY = ReplayModel(name="r")


@pytest.mark.anyio
async def test_without_embedded_models_nothing_is_run() -> None:
    """There is no place, and nothing to end."""
    models = EmbeddedModels()
    models.take(await models.prepare([REPLAY]))
    assert not models.hosted
    await models.close()


@pytest.mark.anyio
@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
async def test_a_model_that_has_changed_is_run_for_as_long_as_a_worker_has_it(tmp_path: Path) -> None:
    """The one that takes its place runs beside it; one whose queue alone has changed is the same. Where another cannot
    be started, all is as it was."""
    small = LlamaModel(name="l", parallel=1, context=256)
    models = EmbeddedModels()
    models.take(await models.prepare([small]))
    before = models.hosted["l"]
    worker = LlamaProvider(lent(Settings(models=(small,)), places_of(models.hosted), {}).models[0])  # type: ignore[arg-type]
    await worker.start()
    models.take(await models.prepare([msgspec.structs.replace(small, max_queue=3)]))
    assert models.hosted["l"] is before
    with pytest.raises(ConfigError, match="it cannot be read"):
        await models.prepare([small, LlamaModel(name="x", path=str(tmp_path / "none.gguf"))])
    prepared = await models.prepare([msgspec.structs.replace(small, context=512)])
    assert models.hosted["l"] is before
    models.take(prepared)
    old, new = [await each.host.lanes["l"].supervisor.running() for each in (before, models.hosted["l"])]
    assert (old.death, new.death) == (None, None)
    assert places_of(models.hosted)["l"] != before.place
    await worker.close()
    await eventually(lambda: old.death is not None, within=30)
    assert new.death is None
    await models.close()
    assert new.death is not None
