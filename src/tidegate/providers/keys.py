"""The keys of a model's upstreams, from variables, or from files that are read anew each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tidegate.core.api_key import fit_key, key_in
from tidegate.errors import ConfigError
from tidegate.providers.settings import KeyedOpenAIModel, ModelSettings, OpenAIModel, Upstream, unusable

MAX_KEY_BYTES = 16 * 1024
"""The largest file of a key: keys have a hundred characters, tokens of identity providers a few thousand."""


def keys_of(model: ModelSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The key of each of the model's upstreams, in their order; empty where none is configured.

    Raises `ConfigError` for a key that is missing or cannot be sent; the error never has the key.
    """
    if isinstance(model, KeyedOpenAIModel):
        return model.keys
    return tuple(_key(model, prefix, place, environ) for prefix, place in _places(model))


def keys_by_model(models: Sequence[ModelSettings], environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The keys of all models that have upstreams, by the model's name; see `keys_of`."""
    return {each.name: keys_of(each, environ) for each in models if isinstance(each, OpenAIModel)}


def _places(model: ModelSettings) -> Iterator[tuple[str, OpenAIModel | Upstream]]:
    if isinstance(model, OpenAIModel) and model.upstreams:
        yield from ((f"upstreams.{index}.", each) for index, each in enumerate(model.upstreams))
    elif isinstance(model, OpenAIModel):
        yield "", model


def _key(model: ModelSettings, prefix: str, place: OpenAIModel | Upstream, environ: Mapping[str, str]) -> str:
    name = "api_key_file" if place.api_key_file else "api_key_env"
    value: str = getattr(place, name)
    if not value:
        return ""
    try:
        return _in_file(value) if place.api_key_file else _in_variable(value, environ)
    except ConfigError as error:
        raise unusable(model, prefix + name, value, error.message) from None


def _in_variable(variable: str, environ: Mapping[str, str]) -> str:
    if not (found := key_in(variable, environ)):
        raise ConfigError("the environment has no such variable, or an empty one")
    return found


def _in_file(path: str) -> str:
    try:
        # A pipe would be empty, or never end, when it is read again.
        if Path(path).exists() and not Path(path).is_file():
            raise ConfigError("it is no file")
        with open(path, "rb") as file:
            content = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        looked = "" if Path(path).is_absolute() else f"; it was looked for in {Path.cwd()}"
        raise ConfigError(f"it cannot be read: {error.strerror or error}{looked}") from None
    except ValueError as error:  # characters that no path has
        raise ConfigError(f"it cannot be read: {error}") from None
    if len(content) > MAX_KEY_BYTES:
        raise ConfigError(f"it has more than {MAX_KEY_BYTES} bytes, and is no key")
    if not (found := fit_key(content.decode("utf-8-sig", "replace"), "the key in it")):
        raise ConfigError("it is empty")
    return found
