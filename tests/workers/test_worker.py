from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvloop
from eventually_kit import eventually

from tidegate.config import Settings, StoreSettings
from tidegate.errors import TidegateError
from tidegate.listening import bind, close_all
from tidegate.observe.metrics.series import Series
from tidegate.providers.settings import ReplayModel
from tidegate.workers.messages import Message, Ready, Setup, Take, decoded, encoded
from tidegate.workers.process import WorkerProcess

SETTINGS = Settings(models=(ReplayModel(name="r"),), store=StoreSettings(url="memory://"))


@contextmanager
def worker() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A worker that was told its settings, and its parent's end of the channel."""
    ours, theirs = socket.socketpair()
    listeners = bind("127.0.0.1", 0)
    descriptors = [each.fileno() for each in listeners]
    with ours, theirs:
        ours.sendall(encoded(Setup(0, SETTINGS, [descriptors])))
        command = (sys.executable, "-P", "-m", "tidegate.workers.worker", str(theirs.fileno()))
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(), *descriptors), stderr=subprocess.DEVNULL)
        theirs.close()
        with process:
            try:
                yield process, ours
            finally:
                process.kill()
    close_all(listeners)


def told(channel: socket.socket) -> Message:
    with channel.makefile("rb") as lines:
        return decoded(lines.readline())


@pytest.mark.parametrize("ready", [False, True])
def test_a_worker_whose_parent_is_gone_ends(ready: bool) -> None:
    """Whether it still starts or serves already, and where the kernel was not told to end it."""
    with worker() as (process, channel):
        if ready:
            assert told(channel) == Ready()
        channel.close()
        assert process.wait(10) != 0


def test_a_worker_that_cannot_do_what_it_is_told_ends() -> None:
    """It would hear its parent no more, and a key that is withdrawn would go on working at it."""
    with worker() as (process, channel):
        assert told(channel) == Ready()
        channel.sendall(encoded(Take(1)))
        assert process.wait(20) != 0


async def nothing() -> list[Series]:
    return []


@pytest.mark.anyio
async def test_a_worker_that_dies_before_it_is_ready_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what it died of: whatever else it had to say is in its log."""
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(TidegateError, match="ended with exit code 1 before it was ready"):
        await WorkerProcess.launch(Setup(0, SETTINGS, []), nothing)


def test_a_worker_that_has_hung_up_is_told_nothing() -> None:
    """One that ends closes its channel before its parent sees its end, and uvloop raises where asyncio only warns."""

    async def tell_it() -> None:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec("sleep", "5")
        _, channel = await asyncio.open_unix_connection(sock=ours)
        worker = WorkerProcess(process, channel, SETTINGS)
        theirs.close()
        worker.listen([0])
        await eventually(lambda: "closed=True" in repr(channel.transport))
        worker.listen([0, 1])
        await worker.end()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(tell_it())
