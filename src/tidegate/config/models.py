"""Applies `--model` and `--upstream` to the configured models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import msgspec

from tidegate.config.settings import Settings
from tidegate.core.url import is_plain_http, shown_url, with_scheme
from tidegate.errors import ConfigError
from tidegate.providers.settings import LlamaModel, ModelSettings, OpenAIModel

EMBEDDED = "smollm2"
MOST_NAMED = 20


def only(settings: Settings, wanted: str) -> Settings:
    """The settings with one model: a configured one or `smollm2` by name, or the weights in a .gguf file.

    Raises `ConfigError` where there is none of this name.
    """
    return msgspec.structs.replace(settings, models=(_chosen(settings.models, wanted),))


def upstream_url(url: str) -> str:
    """The URL of `--upstream` without its last slash; an address on this machine needs no scheme.

    Raises `ConfigError` unless it may be shown.
    """
    full = with_scheme(url)
    if not is_plain_http(full):
        raise ConfigError(
            f"--upstream {shown_url(url)}: expected an http or https URL without user and query, such as "
            "http://127.0.0.1:8080/v1"
        )
    return full.rstrip("/")


def behind(settings: Settings, url: str, names: Sequence[str], *, wanted: str | None, api_key_env: str) -> Settings:
    """The settings with the models of an OpenAI-compatible server at `url`, or with the `wanted` one of them.

    Raises `ConfigError` if the server does not have that one.
    """
    if wanted is not None and wanted not in names:
        some = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        raise ConfigError(f"--model {wanted}: {url} has no model of this name, only {some}")
    served = dict.fromkeys(names) if wanted is None else (wanted,)
    models = tuple(OpenAIModel(name=name, base_url=url, api_key_env=api_key_env) for name in served)
    return msgspec.structs.replace(settings, models=models)


def _chosen(models: Sequence[ModelSettings], wanted: str) -> ModelSettings:
    for model in models:
        if model.name == wanted:
            return model
    if wanted.endswith(".gguf"):
        return LlamaModel(name=PurePath(wanted).stem or wanted, path=wanted)
    if wanted == EMBEDDED:
        return LlamaModel(name=EMBEDDED)
    known = dict.fromkeys((*(model.name for model in models), EMBEDDED))
    raise ConfigError(
        f"--model {wanted}: there is no model of this name, only {', '.join(known)}; or give a .gguf file"
    )
