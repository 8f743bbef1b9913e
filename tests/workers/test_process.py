from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from eventually_kit import eventually

from tidegate.config import Changes, Settings, StoreSettings
from tidegate.errors import TidegateError
from tidegate.listening import bind, close_all
from tidegate.observe.metrics.series import Series
from tidegate.providers.settings import ReplayModel
from tidegate.workers import process
from tidegate.workers.messages import Prepare, Setup
from tidegate.workers.process import WorkerProcess

pytestmark = pytest.mark.anyio


def settings(*models: str) -> Settings:
    return Settings(models=tuple(ReplayModel(name=each) for each in models), store=StoreSettings(url="memory://"))


SLOW = """#!{python}
import json, socket, sys

channel = socket.socket(fileno=int(sys.argv[-1]))
for line in channel.makefile():
    replies = {{"Setup": {{"type": "Ready"}}, "Measure": {{"type": "Measured", "series": []}}}}
    if reply := replies.get(json.loads(line)["type"]):
        channel.sendall(json.dumps(reply).encode() + b"\\n")
"""
"""A worker that never gets ready for other settings, and answers all else."""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "slow"
    script.write_text(SLOW.format(python=sys.executable))
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))


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


@pytest.mark.usefixtures("slow")
async def test_one_that_says_nothing_at_all_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as good as dead, and can be ended."""
    async with started() as worker:
        worker.signal(signal.SIGSTOP)
        monkeypatch.setattr(process, "REPLY_SECONDS", 0.05)
        monkeypatch.setattr(process, "GRACE_SECONDS", 0.05)
        assert not await worker.prepare(Prepare(1, settings("b")))
        await worker.end(hangs=True)
        assert worker.death == "signal 9 (SIGKILL)"


@pytest.mark.usefixtures("slow")
async def test_one_that_is_only_slow_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a module of the user's that takes long, while it answers all else."""
    async with started() as worker:
        monkeypatch.setattr(process, "REPLY_SECONDS", 0.05)

        async def is_said_to_be_slow() -> bool:
            try:
                return await worker.prepare(Prepare(1, settings("b")))
            except TidegateError as error:
                return error.message == f"a worker, pid {worker.pid}, does not answer"

        await eventually(is_said_to_be_slow, within=20)
