"""The parent of several workers: it has the port, starts the workers, and stops them together."""

from __future__ import annotations

import asyncio
import logging
import os

import uvloop

from tidegate.config import Reloads, ServeSource, Settings
from tidegate.descriptors import raise_descriptor_limit
from tidegate.listening import addresses, bind_each, close_all, print_ready
from tidegate.notify import service_manager
from tidegate.observe.logging import configure
from tidegate.stopping import Stopping, before
from tidegate.workers.crew import Crew, patience_of
from tidegate.workers.supervisor import Supervisor

LAST_WORDS_SECONDS = 0.25
"""So much longer than a worker the parent waits for its own end: a worker that hangs says first what it waited for."""

log = logging.getLogger("tidegate.workers")


def run(settings: Settings, source: ServeSource) -> int:
    """Serves with several processes until a signal stops it, and returns the exit code, as `server.run` does.

    Raises `TidegateError` where it cannot start. At SIGHUP the `source` of the settings is read again.
    """
    configure(settings.observability.log_level, settings.observability.log_format)
    raise_descriptor_limit(settings.server.workers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(supervise(settings, source))


async def supervise(settings: Settings, source: ServeSource) -> int:
    """Runs `server.workers` workers; returns 0 after all have drained, else 1.

    SIGTERM and SIGINT drain all of them; the second stops them at once. Workers that die before are replaced, and so,
    where systemd watches over this process, are those that hang. They end with this process, however it ends.
    """
    manager = service_manager(os.environ)
    signals = Stopping(settings.server.drain_seconds + LAST_WORDS_SECONDS)
    listeners = bind_each(settings.server.host, settings.server.port, settings.server.workers)
    supervisor = Supervisor(settings, listeners, patience_of(manager.watchdog_seconds))
    reloads = Reloads(source, signals.hung_up, supervisor.reload, manager.reloading)
    async with manager.attended(signals.first, settings.server.drain_seconds):
        try:
            if not await before(signals.first, supervisor.start()):
                return 0
            print_ready(settings, listeners[0])
            manager.ready(f"accepting connections on {addresses(listeners[0])}, {settings.server.workers} workers")
            await before(signals.first, reloads.run())
            return await _stop(supervisor.crew, signals.second)
        finally:
            await supervisor.close()
            signals.over()
            for group in listeners:
                close_all(group)


async def _stop(crew: Crew, at_once: asyncio.Event) -> int:
    crew.stop()
    ending = asyncio.create_task(crew.ended())
    if await before(at_once, asyncio.shield(ending)):
        return ending.result()
    crew.stop()
    await ending
    return 1
