from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from eventually_kit import eventually
from worker_kit import Worker

from tidegate.config import ServerSettings, Settings
from tidegate.core import restarts
from tidegate.errors import ConfigError
from tidegate.observe.metrics.series import Series
from tidegate.providers.settings import ReplayModel
from tidegate.workers.messages import Setup
from tidegate.workers.process import WorkerProcess
from tidegate.workers.supervisor import Supervisor

pytestmark = pytest.mark.anyio

Launched = dict[int, list[Worker]]


def settings(model: str) -> Settings:
    return Settings(server=ServerSettings(workers=2), models=(ReplayModel(name=model),))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    """The workers that were started, by number."""
    found: Launched = {0: [], 1: []}

    async def launch(setup: Setup, scrape: Callable[[], Awaitable[Sequence[Series]]]) -> Worker:
        found[setup.worker].append(Worker(setup.settings))
        return found[setup.worker][-1]

    monkeypatch.setattr(WorkerProcess, "launch", launch)
    monkeypatch.setattr(restarts, "DELAYS", (0.0, 0.001))
    return found


async def one_replaced_during_a_reload(
    supervisor: Supervisor, launched: Launched
) -> tuple[asyncio.Task[object], Worker]:
    """The reload, which the other worker still holds up, and the one that has come in the place of a dead one."""
    await supervisor.start()
    launched[1][0].may_prepare.clear()
    reloading: asyncio.Task[object] = asyncio.create_task(supervisor.reload(settings("b")))
    await eventually(lambda: "prepare" in launched[1][0].orders)
    launched[0][0].die(-9)
    await eventually(lambda: len(launched[0]) == 2 and launched[0][1].told)
    return reloading, launched[0][1]


async def test_one_that_is_replaced_during_a_reload_follows(launched: Launched) -> None:
    """What it has begun meanwhile goes on: it changes over when the others have, and is not started again."""
    supervisor = Supervisor(settings("a"), [])
    reloading, successor = await one_replaced_during_a_reload(supervisor, launched)
    launched[1][0].may_prepare.set()
    await reloading
    assert successor.orders == ["prepare", "take"]
    assert successor.settings.models == settings("b").models
    await supervisor.close()


async def test_one_that_cannot_follow_is_started_again(launched: Launched, caplog: pytest.LogCaptureFixture) -> None:
    """The next one begins with the settings of now."""
    supervisor = Supervisor(settings("a"), [])
    reloading, successor = await one_replaced_during_a_reload(supervisor, launched)
    successor.fault = ConfigError("the file is gone")
    launched[1][0].may_prepare.set()
    await reloading
    assert successor.orders == ["prepare", "end"]
    assert "cannot follow the others, and is ended: the file is gone" in caplog.text
    await eventually(lambda: len(launched[0]) == 3)
    assert launched[0][2].settings.models == settings("b").models
    await supervisor.close()
