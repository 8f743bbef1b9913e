from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tidegate.config import Changes, Settings, StoreSettings
from tidegate.listening import bind, close_all
from tidegate.observe.metrics.series import Series
from tidegate.providers.settings import ReplayModel
from tidegate.workers import process
from tidegate.workers.messages import Prepare, Setup
from tidegate.workers.process import WorkerProcess

pytestmark = pytest.mark.anyio


def settings(*models: str) -> Settings:
    return Settings(models=tuple(ReplayModel(name=each) for each in models), store=StoreSettings(url="memory://"))


async def nothing() -> list[Series]:
    return []


@asynccontextmanager
async def started() -> AsyncIterator[WorkerProcess]:
    """A real worker, which serves the model `a`."""
    listeners = bind("127.0.0.1", 0)
    worker = await WorkerProcess.launch(Setup(0, settings("a"), [[each.fileno() for each in listeners]]), nothing)
    try:
        yield worker
    finally:
        await worker.end()
        close_all(listeners)


async def test_a_late_reply_is_none_to_what_is_asked_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was stopped takes over the earlier settings at last, and is not taken to be ready for the next."""
    async with started() as worker:
        assert await worker.prepare(Prepare(1, settings("a", "b")))
        worker.signal(signal.SIGSTOP)
        with monkeypatch.context() as hurried:
            hurried.setattr(process, "REPLY_SECONDS", 0.05)
            assert await worker.take(settings("a", "b")) is None
        preparing = asyncio.create_task(worker.prepare(Prepare(2, settings("a", "b", "c"))))
        await asyncio.sleep(0)
        worker.signal(signal.SIGCONT)
        assert await preparing
        assert isinstance(changes := await worker.take(settings("a", "b", "c")), Changes)
        assert changes.models.added == ("c",)
