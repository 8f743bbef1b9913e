"""Checks of the settings that types alone cannot express. Each problem is a dotted key and a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast, get_args
from urllib.parse import urlsplit

import msgspec

from tidegate.config.settings import Settings
from tidegate.core.principal import Scope
from tidegate.core.url import is_http, is_plain_http
from tidegate.providers.settings import (
    AnthropicModel,
    ModelSettings,
    OpenAIModel,
    PythonModel,
    RemoteModel,
    ReplayModel,
    Upstream,
)
from tidegate.stores import STORES, traits_of

Problem = tuple[str, str]

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:]+")
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://(?:\*\.)?[^/?#\s*]+")
# What Python decodes bytes that are no UTF-8 to (PEP 383).
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def normalised(settings: Settings) -> Settings:
    """The settings with URLs and hashes in the spelling that the rest of the program relies on."""
    server = msgspec.structs.replace(settings.server, public_url=settings.server.public_url.rstrip("/"))
    keys = tuple(msgspec.structs.replace(key, sha256=key.sha256.lower()) for key in settings.auth.keys)
    return msgspec.structs.replace(settings, server=server, auth=msgspec.structs.replace(settings.auth, keys=keys))


def problems(settings: Settings) -> Iterator[Problem]:
    """All that is wrong with normalised settings, in the order of the sections."""
    yield from _server(settings)
    yield from _store(settings)
    yield from _models(settings)
    yield from _auth(settings)
    if (endpoint := settings.observability.otlp_endpoint) and (not is_http(endpoint) or "?" in endpoint):
        yield "observability.otlp_endpoint", "expected an absolute http or https URL, e.g. http://collector:4318"


def unreadable(values: object, key: str = "") -> Iterator[Problem]:
    """Problems of values that TOML can write but no setting may have: infinities, NaN, and bytes that are no text."""
    if isinstance(values, float) and not math.isfinite(values):
        yield key, "expected a finite number"
    if isinstance(values, str) and _SURROGATE.search(values):
        yield key, "expected text in UTF-8"
    children: Any = ()
    if isinstance(values, dict):
        children = cast("dict[str, object]", values).items()
    elif isinstance(values, list):
        children = enumerate(cast("list[object]", values))
    for part, value in children:
        yield from unreadable(value, f"{key}.{part}" if key else str(part))


def _server(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    if server.public_url and not is_plain_http(server.public_url):
        yield "server.public_url", "expected an absolute http or https URL in ASCII, without user, query and fragment"
    yield from _each("server.allowed_hosts", server.allowed_hosts, _HOST, "expected a host name without port, or *")
    yield from _each("server.allowed_origins", server.allowed_origins, _ORIGIN, "expected scheme://host, or *")
    for index, proxy in enumerate(server.trusted_proxies):
        if proxy != "*" and not _is_network(proxy):
            yield f"server.trusted_proxies.{index}", "expected an address, a network such as 10.0.0.0/8, or *"


def _store(settings: Settings) -> Iterator[Problem]:
    url = settings.store.url
    if url and not ("://" in url and url.partition("://")[0] in STORES):
        yield "store.url", "expected " + ", ".join(f"{each}://" for each in STORES) + " or nothing"
    elif (traits := traits_of(url)) is not None and (problem := traits.problem(url)) is not None:
        yield "store.url", problem
    elif settings.store.password_file and _has_password(url):
        yield "store.password_file", "the password stands in store.url, too: give it in one place"


def _has_password(url: str) -> bool:
    return ":" in url.partition("://")[2].rpartition("@")[0]


def _models(settings: Settings) -> Iterator[Problem]:
    if not settings.models:
        yield "models", "expected at least one model"
    yield from _unique("models", "name", [model.name for model in settings.models])
    for index, model in enumerate(settings.models):
        for name, problem in _model(model):
            yield f"models.{index}.{name}", problem


def _model(model: ModelSettings) -> Iterator[Problem]:
    if isinstance(model, OpenAIModel):
        yield from _openai(model)
    elif isinstance(model, AnthropicModel):
        yield from _upstream("", model)
    elif isinstance(model, ReplayModel) and model.text and model.file:
        yield "file", "give either text or file"
    elif isinstance(model, PythonModel) and isinstance(model.target, str) and ":" not in model.target:
        yield "target", "expected module:attribute"
    elif isinstance(model, PythonModel) and not isinstance(model.target, str) and not callable(model.target):
        yield "target", "expected `str`"


def _openai(model: OpenAIModel) -> Iterator[Problem]:
    if bool(model.base_url) == bool(model.upstreams):
        yield "base_url", "give either base_url or upstreams"
    if model.base_url:
        yield from _upstream("", model)
    for index, upstream in enumerate(model.upstreams):
        yield from _upstream(f"upstreams.{index}.", upstream)


def _upstream(prefix: str, place: RemoteModel | Upstream) -> Iterator[Problem]:
    if not is_http(place.base_url):
        yield f"{prefix}base_url", "expected an absolute http or https URL in ASCII"
    if place.api_key_env and not _ENV_NAME.fullmatch(place.api_key_env):
        yield f"{prefix}api_key_env", "expected the name of an environment variable that holds the key"
    if place.api_key_env and place.api_key_file:
        yield f"{prefix}api_key_file", "give either api_key_env or api_key_file"


def _auth(settings: Settings) -> Iterator[Problem]:
    auth = settings.auth
    yield from _unique("auth.keys", "name", [key.name for key in auth.keys])
    yield from _each("auth.keys.{}.sha256", [key.sha256 for key in auth.keys], _SHA256, "expected 64 hex digits")
    yield from _unique("auth.keys", "sha256", [key.sha256 for key in auth.keys])
    for index, key in enumerate(auth.keys):
        if not key.scopes:
            yield f"auth.keys.{index}.scopes", "expected at least one of " + ", ".join(get_args(Scope))
    if auth.jwt_secret_env and not _ENV_NAME.fullmatch(auth.jwt_secret_env):
        yield "auth.jwt_secret_env", "expected the name of an environment variable that holds the secret"
    if auth.jwks_url and (not is_http(auth.jwks_url) or "@" in urlsplit(auth.jwks_url).netloc):
        yield "auth.jwks_url", "expected an absolute http or https URL without a user"


def _each(key: str, values: Sequence[str], pattern: re.Pattern[str], problem: str) -> Iterator[Problem]:
    """Problems of the values that do not match. `key` has a `{}` in place of the index, or ends before the index."""
    at = key if "{}" in key else key + ".{}"
    return ((at.format(n), problem) for n, value in enumerate(values) if not pattern.fullmatch(value))


def _unique(table: str, name: str, values: Sequence[str]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield f"{table}.{index}.{name}", f"is also that of {table}.{values.index(value)}"


def _is_network(text: str) -> bool:
    from ipaddress import ip_network

    try:
        ip_network(text)
    except ValueError:
        return False
    return True
