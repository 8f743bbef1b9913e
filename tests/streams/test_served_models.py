from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
from engine_kit import ANNA, Engine, Scripted, request
from eventually_kit import eventually

from tidegate.core.difference import Difference
from tidegate.core.events import Completed, Delta, GenerationRequest
from tidegate.errors import ConfigError, ModelNotFound
from tidegate.providers.base import Provider, Sink
from tidegate.providers.settings import ModelSettings, OpenAIModel, PythonModel, ReplayModel
from tidegate.stores.records import Claim
from tidegate.streams.provider_factory import ProviderFactory
from tidegate.streams.served_models import ServedModels

pytestmark = pytest.mark.anyio


SLOW_AGENTS = """
from turns import importing, turned
importing.set()
assert turned.wait(20), "the loop stands still"
def answer(request):
    yield "x"
"""
"""A module whose import ends when the loop has had a turn."""


class Provided(Scripted):
    """A provider that answers with its model's text once it may go on."""

    def __init__(self, settings: ModelSettings, keys: Sequence[str]) -> None:
        super().__init__(self.answer)
        self.settings = settings
        self.keys = keys
        self.starts = 0
        self.may_end = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if isinstance(self.settings, ReplayModel) and self.settings.text == "faulty":
            raise ConfigError("this one cannot start")

    async def answer(self, request: GenerationRequest, sink: Sink) -> None:
        await self.may_end.wait()
        sink.emit([Delta(getattr(self.settings, "text", "") + "".join(self.keys))])


class Factory(ProviderFactory):
    """Makes such providers, and keeps them."""

    def __init__(self) -> None:
        self.made: list[Provided] = []

    def make(self, model: ModelSettings, keys: Sequence[str]) -> Provider:
        self.made.append(Provided(model, keys))
        return self.made[-1]


class Reloaded(Engine):
    """An engine whose models are those of settings."""

    def __init__(self, *models: ModelSettings) -> None:
        super().__init__()
        self.factory = Factory()
        self.served = ServedModels(self.factory, models)
        self.service.models = self.served
        self.service.node._takeover._models = self.served

    async def reload(self, *models: ModelSettings) -> Difference:
        return self.served.take(await self.served.prepare(models))

    async def close(self) -> None:
        await self.service.close()
        await self.served.close()

    async def text_of(self, stream: str) -> str:
        return "".join(event.text for event in await self.events(stream) if isinstance(event, Delta))


def replay(name: str, text: str = "", **queue: int) -> ReplayModel:
    return ReplayModel(name=name, text=text, **queue)  # type: ignore[arg-type]


async def opened(*models: ModelSettings) -> Reloaded:
    engine = Reloaded(*models)
    await engine.service.open()
    await engine.service.start_models()
    return engine


async def test_what_is_unchanged_is_left_alone() -> None:
    """Its provider, its queue and what runs in it; only what is new is made."""
    engine = await opened(replay("m"), replay("n"))
    model, stream = engine.served["m"], await engine.start()
    assert await engine.reload(replay("m"), replay("o")) == Difference(added=("o",), removed=("n",))
    assert engine.served["m"] is model
    assert [each.settings.name for each in engine.factory.made] == ["m", "n", "o"]
    assert [each.starts for each in engine.factory.made] == [1, 1, 1]
    engine.factory.made[0].may_end.set()
    assert isinstance((await engine.events(stream))[-1], Completed)
    await engine.close()


async def test_what_runs_goes_on_with_what_it_began_with() -> None:
    """A new generation is answered by the new provider, and the old one is closed after its last."""
    engine = await opened(replay("m", "old"))
    stream = await engine.start()
    await eventually(lambda: engine.factory.made[0].running)
    assert await engine.reload(replay("m", "new")) == Difference(changed=("m",))
    old, new = engine.factory.made
    new.may_end.set()
    assert await engine.text_of(await engine.start()) == "new"
    assert (old.closed, old.running) == (False, 1)
    old.may_end.set()
    assert await engine.text_of(stream) == "old"
    await eventually(lambda: old.closed)
    assert not new.closed
    await engine.close()
    assert new.closed


async def test_what_waits_for_its_turn_is_asked_of_the_new_one() -> None:
    """It has begun with nothing yet, and an earlier key may not be good any more; the queue is the same."""
    engine = await opened(replay("m", "old", max_concurrency=1))
    first, second = await engine.start(), await engine.start()
    await eventually(lambda: engine.factory.made[0].running)
    await engine.reload(replay("m", "new", max_concurrency=1))
    for provider in engine.factory.made:
        provider.may_end.set()
    assert [await engine.text_of(first), await engine.text_of(second)] == ["old", "new"]
    await engine.close()


async def test_a_removed_model_ends_what_it_has_begun_and_what_waits_for_it() -> None:
    """Nobody can start anything with it any more; after its last generation its provider is closed."""
    engine = await opened(replay("m", "old", max_concurrency=1), replay("n"))
    streams = [await engine.start() for _ in range(3)]
    await engine.reload(replay("n"))
    with pytest.raises(ModelNotFound, match="there are n"):
        await engine.start()
    old = engine.factory.made[0]
    await eventually(lambda: old.running)
    assert not old.closed
    old.may_end.set()
    assert [await engine.text_of(stream) for stream in streams] == ["old"] * 3
    assert old.starts == 1
    await eventually(lambda: old.closed)
    await engine.close()


async def test_a_queue_that_has_changed_does_not_restart_the_model() -> None:
    """Its limits hold at once, for those that wait already."""
    engine = await opened(replay("m", "x", max_concurrency=1))
    for _ in range(3):
        await engine.start()
    assert await engine.reload(replay("m", "x", max_concurrency=2)) == Difference(changed=("m",))
    (provider,) = engine.factory.made
    await eventually(lambda: provider.running == 2)
    assert provider.starts == 1
    await engine.close()


async def test_one_that_cannot_start_changes_nothing() -> None:
    """Whatever was started beside it is closed, and all is as it was."""
    engine = await opened(replay("m", "old"))
    with pytest.raises(ConfigError, match="this one cannot start"):
        await engine.reload(replay("m", "new"), replay("n"), replay("o", "faulty"))
    old, new, other, faulty = engine.factory.made
    assert (old.closed, new.closed, other.closed, faulty.closed) == (False, True, True, False)
    assert list(engine.served) == ["m"]
    old.may_end.set()
    assert await engine.text_of(await engine.start()) == "old"
    with pytest.raises(ConfigError, match="given twice"):
        await engine.reload(replay("m"), replay("m"))
    await engine.close()


async def test_the_loop_turns_while_a_slow_module_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of models may take seconds, in which no answer may stand still, nor the node's lease run out."""
    (tmp_path / "slow_agents.py").write_text(SLOW_AGENTS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    turns = SimpleNamespace(importing=threading.Event(), turned=threading.Event())
    monkeypatch.setitem(sys.modules, "turns", cast("ModuleType", turns))
    engine = await opened(replay("m"))
    preparing = asyncio.create_task(engine.reload(replay("m"), PythonModel(name="slow", target="slow_agents:answer")))
    await eventually(lambda: turns.importing.is_set() or preparing.done(), within=60)
    turns.turned.set()
    assert await preparing == Difference(added=("slow",))
    await engine.close()


async def test_keys_are_read_when_a_model_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application is often put together at its import, and its environment read later; each start tries again."""
    monkeypatch.delenv("LATE_KEY", raising=False)
    model = OpenAIModel(name="m", base_url="http://127.0.0.1:9/v1", api_key_env="LATE_KEY")
    engine = Reloaded(model)
    await engine.service.open()
    with pytest.raises(ConfigError, match="LATE_KEY"):
        await engine.service.start_models()
    monkeypatch.setenv("LATE_KEY", "first")
    await engine.service.start_models()
    assert await engine.reload(model) == Difference()
    monkeypatch.setenv("LATE_KEY", "second")
    assert await engine.reload(model) == Difference(changed=("m",))
    assert [each.keys for each in engine.factory.made] == [("first",), ("second",)]
    await engine.close()


async def test_a_reload_before_the_first_start_has_the_keys_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was never started is not started any more."""
    monkeypatch.setenv("LATE_KEY", "first")
    model = OpenAIModel(name="m", base_url="http://127.0.0.1:9/v1", api_key_env="LATE_KEY")
    engine = Reloaded(model)
    await engine.service.open()
    await engine.reload(model)
    await engine.service.start_models()
    assert [(each.keys, each.starts) for each in engine.factory.made] == [(("first",), 1)]
    await engine.close()


async def test_another_key_in_the_same_file_is_another_model(tmp_path: Path) -> None:
    """The settings are the same, and the file is not; a file that has gone changes nothing."""
    file = tmp_path / "key"
    file.write_text("first\n")
    model = OpenAIModel(name="m", base_url="http://127.0.0.1:9/v1", api_key_file=str(file))
    engine = await opened(model)
    assert await engine.reload(model) == Difference()
    file.write_text("second\n")
    assert await engine.reload(model) == Difference(changed=("m",))
    assert [each.keys for each in engine.factory.made] == [("first",), ("second",)]
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        await engine.reload(model)
    assert len(engine.factory.made) == 2
    await engine.close()


async def test_a_close_does_not_wait_for_what_a_removed_model_answers() -> None:
    """It is cancelled like everything else, and its provider is closed."""
    engine = await opened(replay("m"), replay("n"))
    await engine.start()
    await eventually(lambda: engine.factory.made[0].running)
    await engine.reload(replay("n", "changed"))
    await engine.close()
    assert all(each.closed for each in engine.factory.made)


async def test_a_model_that_goes_while_the_store_is_asked_takes_nothing_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its provider is closed by then, and would be started again for nobody to close."""
    engine = await opened(replay("m"), replay("n"))

    async def claimed(claim: object) -> None:
        await engine.reload(replay("n"))
        await eventually(lambda: engine.factory.made[0].closed)

    monkeypatch.setattr(engine.store, "claimed", claimed)
    with pytest.raises(ModelNotFound):
        await engine.service.start(request(), owner=ANNA, grace=None, claim=Claim("key", b""))
    assert engine.factory.made[0].starts == 1
    await engine.close()
