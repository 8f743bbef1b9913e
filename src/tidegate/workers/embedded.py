"""The embedded models of all workers: the parent runs them, and the workers are lent their lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from tidegate.providers.llama.lane_words import LanePlace
from tidegate.providers.settings import LlamaModel, ModelSettings, of_provider

if TYPE_CHECKING:
    from tidegate.providers.llama.lane_host import LaneHost


class Hosted(msgspec.Struct, frozen=True):
    """A model that llama.cpp runs: what it is made of, its host, and where that lends its lanes."""

    made_of: ModelSettings
    host: LaneHost
    place: LanePlace


class EmbeddedModels:
    """Those models that llama.cpp runs, by name, each with a host of its own: it may have to outlive the others."""

    def __init__(self) -> None:
        self.hosted: Mapping[str, Hosted] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def prepare(self, models: Sequence[ModelSettings]) -> Mapping[str, Hosted]:
        """Starts those of the models that are new or have changed, beside what is run; for `take`, or for `drop`.

        Returns when all of them take requests. Raises `ConfigError`; then none of them is left running.
        """
        embedded = [model for model in models if isinstance(model, LlamaModel)]
        kept = {model.name: found for model in embedded if (found := self._kept(model)) is not None}
        starting = {each.name: asyncio.create_task(_host(each)) for each in embedded if each.name not in kept}
        try:
            await asyncio.gather(*starting.values())
        except BaseException:
            await _undo(starting.values())
            raise
        return {each.name: kept.get(each.name) or starting[each.name].result() for each in embedded}

    def take(self, hosted: Mapping[str, Hosted]) -> None:
        """Runs these from here on. The others end when no worker needs them any more."""
        for each in self._only_in(self.hosted, hosted):
            task = asyncio.get_running_loop().create_task(_retire(each.host))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self.hosted = hosted

    async def drop(self, hosted: Mapping[str, Hosted]) -> None:
        """Ends what was started for these."""
        await asyncio.gather(*(each.host.close() for each in self._only_in(hosted, self.hosted)))

    async def close(self) -> None:
        """Ends all of them."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await asyncio.gather(*(each.host.close() for each in self.hosted.values()))

    def _kept(self, model: LlamaModel) -> Hosted | None:
        """What runs the model already."""
        found = self.hosted.get(model.name)
        return found if found is not None and found.made_of == of_provider(model) else None

    @staticmethod
    def _only_in(some: Mapping[str, Hosted], others: Mapping[str, Hosted]) -> Sequence[Hosted]:
        return [each for name, each in some.items() if others.get(name) is not each]


def places_of(hosted: Mapping[str, Hosted]) -> dict[str, LanePlace]:
    """Where the lanes of each are lent."""
    return {name: each.place for name, each in hosted.items()}


async def _host(model: LlamaModel) -> Hosted:
    # Imported only where there is such a model.
    from tidegate.providers.llama.lane_host import LaneHost

    host = LaneHost([model])
    try:
        return Hosted(of_provider(model), host, await host.start())
    except BaseException:
        await host.close()
        raise


async def _undo(starting: Collection[asyncio.Task[Hosted]]) -> None:
    for task in starting:
        task.cancel()
    for found in await asyncio.gather(*starting, return_exceptions=True):
        if isinstance(found, Hosted):
            await found.host.close()


async def _retire(host: LaneHost) -> None:
    try:
        await host.deserted()
    finally:
        await host.close()
