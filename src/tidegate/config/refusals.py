"""Refuses settings that are valid but cannot be served with, before anything is started.

All functions named `refuse_…` raise `ConfigError` with a key, for `Origins.located`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import msgspec

from tidegate.config.origins import Key, wrong
from tidegate.config.settings import AuthSettings, Settings
from tidegate.core.url import is_loopback
from tidegate.gate.jwt.tokens import secret_of
from tidegate.providers import PROVIDERS
from tidegate.providers.keys import keys_of
from tidegate.providers.settings import LlamaModel, ModelSettings, OpenAIModel, PythonModel, ReplayModel, Upstream
from tidegate.stores import traits_of

TELEMETRY = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
"""What sends to a Collector. Others bring a part of it, e.g. FastAPI the interfaces alone."""

MODEL_NOT_YET = ("api",)
UPSTREAM_NOW = ("base_url", "api_key_env", "api_key_file", "weight")


def refuse_unavailable(settings: Settings) -> None:
    """Refuses settings that this version parses but does not support, where ignoring them would be unsafe."""
    _refuse_unshared(settings)
    _refuse_telemetry(settings.observability.otlp_endpoint)
    for model in settings.models:
        _refuse_unavailable_model(model)


def refuse_exposed(settings: Settings, *, insecure: bool) -> None:
    """Refuses to be reachable from other machines without authentication, unless `insecure` says that this is meant."""
    host = settings.server.host
    if not (insecure or asks_who(settings.auth) or is_loopback(host)):
        raise wrong(
            ("server", "host"),
            host,
            "it can be reached from other machines, and there is no authentication: add [[auth.keys]] (tidegate key "
            "NAME makes one), auth.jwt_secret_env or auth.jwks_url, or give --insecure-no-auth",
        )


def asks_who(auth: AuthSettings) -> bool:
    """Whether callers have to say who they are."""
    return bool(auth.keys or auth.jwt_secret_env or auth.jwks_url)


def refuse_unusable(settings: Settings, environ: Mapping[str, str]) -> None:
    """Refuses settings that name a variable, a file or a function that is missing or unfit.

    Its user would raise the same error, but only after the port, the store and other models have been opened.
    """
    if settings.auth.jwt_secret_env:
        secret_of(settings.auth.jwt_secret_env, environ)
    for name in ("password_file", "ca_file"):
        _refuse_unreadable(getattr(settings.store, name), ("store", name))
    for model in settings.models:
        _refuse_unusable_model(model, environ)


def _refuse_unshared(settings: Settings) -> None:
    workers, traits = settings.server.workers, traits_of(settings.store.url)
    if workers > 1 and (traits is None or not traits.shared):
        problem = "several processes need a store that they can share: name one by --store redis://HOST:PORT/0"
        raise wrong(("server", "workers"), workers, f"{problem}, or leave it at 1")


def _refuse_telemetry(endpoint: str) -> None:
    if endpoint and not all(map(_is_installed, TELEMETRY)):
        key = ("observability", "otlp_endpoint")
        raise wrong(key, endpoint, "it needs the packages of the extra otel: pip install 'tidegate[otel]'")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _refuse_unavailable_model(model: ModelSettings) -> None:
    key = ("models", model.name)
    provider = str(model.__struct_config__.tag)
    if provider not in PROVIDERS:
        raise wrong((*key, "provider"), provider, f"not in this version yet; it has {', '.join(PROVIDERS)}")
    if isinstance(model, OpenAIModel):
        for name in MODEL_NOT_YET:
            _refuse_set(model, (*key, name))
        for index, upstream in enumerate(model.upstreams):
            for name in set(Upstream.__struct_fields__).difference(UPSTREAM_NOW):
                _refuse_set(upstream, (*key, "upstreams", str(index), name))


def _refuse_set(section: msgspec.Struct, key: Key) -> None:
    value = getattr(section, key[-1])
    default = next(field.default for field in msgspec.structs.fields(section) if field.name == key[-1])
    if value != default:
        left = "leave it out" if default in ("", None) else f"leave it at {default!r}"
        raise wrong(key, value, f"this version does not have this yet: {left}")


def _refuse_unreadable(path: str, key: Key) -> None:
    if path:
        try:
            open(path, "rb").close()
        except OSError as error:
            raise wrong(key, path, str(error.strerror)) from error


def _refuse_unusable_model(model: ModelSettings, environ: Mapping[str, str]) -> None:
    # A provider's module is imported only if there is such a model.
    if isinstance(model, LlamaModel):
        from tidegate.providers.llama.weights import weights

        weights(model)
    elif isinstance(model, ReplayModel):
        from tidegate.providers.replay import words

        words(model)
    elif isinstance(model, PythonModel):
        from tidegate.providers.python import target

        target(model)
    keys_of(model, environ)
