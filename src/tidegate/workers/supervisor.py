"""What the parent serves with: its workers and embedded models, and the settings of both, which may change."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from tidegate.config import Changes, Settings, ignored, merged
from tidegate.errors import TidegateError
from tidegate.providers.keys import keys_by_model
from tidegate.streams.aside import aside
from tidegate.workers.crew import Crew
from tidegate.workers.embedded import EmbeddedModels, Hosted, places_of
from tidegate.workers.messages import Prepare, Setup
from tidegate.workers.portion import portion_of
from tidegate.workers.process import WorkerProcess


class Supervisor:
    """`settings.server.workers` workers, which accept from `listeners`; `patience` is as in `Crew`."""

    def __init__(self, settings: Settings, listeners: Sequence[Sequence[socket.socket]], patience: int = 0) -> None:
        self.crew = Crew(settings.server.workers, self._launch, patience)
        self._models = EmbeddedModels()
        self._settings = settings
        self._descriptors = [[each.fileno() for each in group] for group in listeners]
        self._order = Prepare(0, portion_of(settings))

    async def start(self) -> None:
        """Returns when all workers take connections. Raises `TidegateError`."""
        self._order = await self._next(self._settings)
        await self.crew.start()

    async def reload(self, settings: Settings) -> Changes:
        """Has all workers take over the models and keys of other settings or, if it raises `TidegateError`, none."""
        later = merged(self._settings, settings)
        keys = await _read_keys(later)
        hosted = await self._models.prepare(later.models)
        order = self._ordered(later, hosted, keys)
        try:
            ready = await self.crew.prepare(order)
        except BaseException:
            await self._models.drop(hosted)
            raise
        left_out = ignored(self._settings, settings)
        self._models.take(hosted)
        self._settings, self._order = later, order
        changes = await self.crew.take(ready, order.settings)
        for process in self.crew.outdated(order.settings):
            # It came in the place of one that died while the others got ready. The next one begins with these settings.
            await process.end()
        return msgspec.structs.replace(changes, ignored=left_out)

    async def close(self) -> None:
        """Ends everything at once."""
        await self.crew.close()
        await self._models.close()

    async def _next(self, settings: Settings) -> Prepare:
        keys = await _read_keys(settings)
        hosted = await self._models.prepare(settings.models)
        self._models.take(hosted)
        return self._ordered(settings, hosted, keys)

    def _ordered(self, settings: Settings, hosted: Mapping[str, Hosted], keys: dict[str, tuple[str, ...]]) -> Prepare:
        return Prepare(self._order.number + 1, portion_of(settings), places_of(hosted), keys)

    async def _launch(self, worker: int) -> WorkerProcess:
        setup = Setup(worker, self._order.settings, self._descriptors, self._order.lanes, self._order.keys)
        process = await WorkerProcess.launch(setup, self.crew.scrape)
        try:
            await self._bring_up_to_date(process)
        except BaseException:
            await process.end()
            raise
        return process

    async def _bring_up_to_date(self, process: WorkerProcess) -> None:
        """Has a worker take over the settings of now, if they have changed since it was started."""
        while process.settings is not (order := self._order).settings:
            if await process.prepare(order):
                await process.take(order.settings)
            else:
                raise TidegateError("the worker has died")


async def _read_keys(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The keys of all models. Workers read none: a file may be another one by the time that they do."""
    return await aside(partial(keys_by_model, settings.models, os.environ))
