"""Makes the providers of the settings' models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from tidegate.core.url import host_and_port
from tidegate.errors import ConfigError
from tidegate.observe.base import Observer
from tidegate.providers import PROVIDERS
from tidegate.providers.base import Provider
from tidegate.providers.settings import ModelSettings, OpenAIModel
from tidegate.streams.attempts import Attempts, Candidate


class ProviderFactory:
    """Makes providers, whose attempts at upstreams `observer` is told of."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def find(self, model: ModelSettings) -> Callable[..., Provider]:
        """What makes providers of the model's kind, imported. Raises `ConfigError` where there is none."""
        kind = kind_of(model)
        if kind not in PROVIDERS:
            raise ConfigError(f"model {model.name!r}: this version has no provider {kind!r} yet")
        return _load(PROVIDERS[kind])

    def make(self, model: ModelSettings, keys: Sequence[str]) -> Provider:
        """The provider of one model, with the keys of its upstreams. Raises `ConfigError` where there is none."""
        make = self.find(model)
        if not isinstance(model, OpenAIModel):
            return make(model)
        candidates = [
            Candidate(make(each, api_key=key), upstream, weight=weight)
            for (each, weight), upstream, key in zip(model.by_upstream(), upstreams_of(model), keys, strict=True)
        ]
        return Attempts(model.name, candidates, observer=self._observer, kind=kind_of(model))


def kind_of(model: ModelSettings) -> str:
    """The name of the model's provider in the table."""
    return str(model.__struct_config__.tag)


def upstreams_of(model: ModelSettings) -> Sequence[str]:
    """Host and port of each of the model's upstreams, in their order."""
    return [host_and_port(each.base_url) for each, _ in model.by_upstream()] if isinstance(model, OpenAIModel) else ()


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
