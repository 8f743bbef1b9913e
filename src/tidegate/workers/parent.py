"""The parent of several workers: it has the port, starts the workers, and stops them together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import uvloop

from tidegate.config import Settings
from tidegate.descriptors import raise_descriptor_limit
from tidegate.listening import bind_each, close_all, print_ready
from tidegate.observe.logging import configure
from tidegate.observe.metrics.series import Series
from tidegate.stopping import Stopping, before
from tidegate.workers.crew import Crew
from tidegate.workers.embedded import EmbeddedModels
from tidegate.workers.messages import Setup
from tidegate.workers.portion import portion_of
from tidegate.workers.process import WorkerProcess

LAST_WORDS_SECONDS = 0.25
"""So much longer than a worker the parent waits for its own end: a worker that hangs says first what it waited for."""

log = logging.getLogger("tidegate.workers")


def run(settings: Settings) -> int:
    """Serves with several processes until a signal stops it, and returns the exit code, as `server.run` does.

    Raises `TidegateError` where it cannot start.
    """
    configure(settings.observability.log_level, settings.observability.log_format)
    raise_descriptor_limit(settings.server.workers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(supervise(settings))


async def supervise(settings: Settings) -> int:
    """Runs `server.workers` workers; returns 0 after all have drained, else 1.

    SIGTERM and SIGINT drain all of them; the second stops them at once. Workers that die before are replaced. They end
    with this process, however it ends.
    """
    signals = Stopping(settings.server.drain_seconds + LAST_WORDS_SECONDS)
    listeners = bind_each(settings.server.host, settings.server.port, settings.server.workers)
    models = EmbeddedModels(settings.models)
    crew = Crew(settings.server.workers, lambda worker: launch(worker, crew.scrape))
    launch = partial(_launch, portion_of(settings), listeners, models)
    try:
        if not await before(signals.first, _start(models, crew)):
            return 0
        print_ready(settings, listeners[0])
        await signals.first.wait()
        return await _stop(crew, signals.second)
    finally:
        await crew.close()
        await models.close()
        signals.over()
        for group in listeners:
            close_all(group)


async def _start(models: EmbeddedModels, crew: Crew) -> None:
    await models.start()
    await crew.start()


async def _stop(crew: Crew, at_once: asyncio.Event) -> int:
    crew.stop()
    ending = asyncio.create_task(crew.ended())
    if await before(at_once, asyncio.shield(ending)):
        return ending.result()
    crew.stop()
    await ending
    return 1


async def _launch(
    settings: Settings,
    listeners: Sequence[Sequence[socket.socket]],
    models: EmbeddedModels,
    worker: int,
    scrape: Callable[[], Awaitable[Sequence[Series]]],
) -> WorkerProcess:
    descriptors = [[each.fileno() for each in group] for group in listeners]
    return await WorkerProcess.launch(Setup(worker, settings, descriptors, models.place), scrape)
