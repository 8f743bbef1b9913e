"""The models that the settings name, and what takes their place when the settings have changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import msgspec

from tidegate.core.difference import Difference, difference
from tidegate.errors import ConfigError
from tidegate.providers.keys import keys_of
from tidegate.providers.settings import ModelSettings, OpenAIModel, PythonModel, of_provider
from tidegate.streams.aside import aside
from tidegate.streams.keyed_provider import KeyedProvider
from tidegate.streams.models import Model
from tidegate.streams.provider_factory import ProviderFactory, kind_of, upstreams_of
from tidegate.streams.started_provider import StartedProvider


class Wanted(msgspec.Struct, frozen=True):
    """One entry of `[[models]]`, and the keys of its upstreams, None until they are read. Two that are equal are the
    same model."""

    settings: ModelSettings
    keys: tuple[str, ...] | None

    @property
    def provider(self) -> tuple[ModelSettings, tuple[str, ...] | None]:
        """What its provider is made of."""
        return of_provider(self.settings), self.keys


class PreparedModels:
    """All models of later settings; `providers` are those of new and changed ones, which are started already."""

    def __init__(self, wanted: Mapping[str, Wanted], providers: Mapping[str, StartedProvider]) -> None:
        self.wanted = wanted
        self.providers = providers

    async def drop(self) -> None:
        """Closes what was started. Nobody has been given it."""
        await asyncio.gather(*(provider.close() for provider in self.providers.values()), return_exceptions=True)


class ServedModels(Mapping[str, Model]):
    """The models by name. Raises `ConfigError` where one of them cannot be made; keys are read when they start."""

    def __init__(self, factory: ProviderFactory, settings: Sequence[ModelSettings]) -> None:
        self._factory = factory
        self._keyed: dict[str, KeyedProvider] = {}
        self._wanted = {name: self._first(each) for name, each in _by_name(settings).items()}
        self._models = {name: self._model(each, self._made(each)) for name, each in self._wanted.items()}
        self._retiring: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def upstreams(self) -> Mapping[str, Sequence[str]]:
        """The upstreams of each model, by their host and port."""
        return {name: upstreams_of(each.settings) for name, each in self._wanted.items()}

    async def prepare(self, settings: Sequence[ModelSettings]) -> PreparedModels:
        """Makes and starts the providers of all models that are new or have changed; nothing else happens yet.

        Raises `ConfigError` where one of them cannot be made or started; then none is left running.
        """
        # Files of keys may be on a slow disk.
        wanted = await aside(partial(_read, settings))
        await aside(partial(_import_targets, settings))
        served = self._served()
        made = {
            name: self._made(each)
            for name, each in wanted.items()
            if name not in served or served[name].provider != each.provider
        }
        prepared = PreparedModels(wanted, made)
        try:
            for failure in await asyncio.gather(*(each.start() for each in made.values()), return_exceptions=True):
                if failure is not None:
                    raise failure
        except BaseException:
            await prepared.drop()
            raise
        return prepared

    def take(self, prepared: PreparedModels) -> Difference:
        """Serves the prepared models from here on. Those that are not among them take no more, and are closed when
        nothing runs or waits for them."""
        changes = difference(self._served(), prepared.wanted)
        for name in changes.removed:
            self._retire(self._models[name])
        self._models = {name: self._next(name, wanted, prepared) for name, wanted in prepared.wanted.items()}
        self._wanted, self._keyed = dict(prepared.wanted), {}
        return changes

    async def close(self) -> None:
        """Waits for the end of models that are served no more: what they answered has been cancelled before."""
        await asyncio.gather(*self._retiring)

    def _served(self) -> Mapping[str, Wanted]:
        """What is served, with the keys that were read when it was started."""
        return self._wanted | {
            name: Wanted(self._wanted[name].settings, each.keys) for name, each in self._keyed.items()
        }

    def _next(self, name: str, wanted: Wanted, prepared: PreparedModels) -> Model:
        provider = prepared.providers.get(name)
        if name not in self._models:
            assert provider is not None
            return self._model(wanted, provider)
        model, settings = self._models[name], wanted.settings
        if provider is not None:
            model.change(provider, kind_of(settings))
        model.can_continue = settings.can_continue
        model.admission.resize(max_concurrency=settings.concurrency, max_queue=settings.max_queue)
        return model

    def _first(self, settings: ModelSettings) -> Wanted:
        """One of the models that are served from the start."""
        if not isinstance(settings, OpenAIModel):
            return Wanted(settings, ())
        self._factory.find(settings)
        self._keyed[settings.name] = KeyedProvider(settings, self._factory.make)
        return Wanted(settings, None)

    def _made(self, wanted: Wanted) -> StartedProvider:
        if wanted.keys is None:
            return StartedProvider(self._keyed[wanted.settings.name])
        return StartedProvider(self._factory.make(wanted.settings, wanted.keys))

    def _model(self, wanted: Wanted, provider: StartedProvider) -> Model:
        settings = wanted.settings
        return Model(
            settings.name,
            provider,
            max_concurrency=settings.concurrency,
            max_queue=settings.max_queue,
            can_continue=settings.can_continue,
            kind=kind_of(settings),
        )

    def _retire(self, model: Model) -> None:
        task = asyncio.get_running_loop().create_task(model.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _by_name(settings: Sequence[ModelSettings]) -> dict[str, ModelSettings]:
    found: dict[str, ModelSettings] = {}
    for each in settings:
        if each.name in found:
            raise ConfigError(f"models: the name {each.name!r} is given twice")
        found[each.name] = each
    return found


def _read(settings: Sequence[ModelSettings]) -> dict[str, Wanted]:
    return {name: Wanted(each, keys_of(each, os.environ)) for name, each in _by_name(settings).items()}


def _import_targets(settings: Sequence[ModelSettings]) -> None:
    """Imports the functions of the user's own models: one may take seconds, in which the loop must not stand still.
    Their providers find them imported when they start, on the loop."""
    for each in settings:
        if isinstance(each, PythonModel):
            # Imported only where there is such a model.
            from tidegate.providers.python import target

            target(each)
