"""Reads settings from `tidegate.toml`, then the environment, then flags; later sources win, key by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from tidegate.config.checks import normalised, problems, unreadable
from tidegate.config.kinds import choices, is_index, is_structured, key_names, kind_of
from tidegate.config.origins import Key, Origins, message, value_at
from tidegate.config.settings import Settings
from tidegate.config.words import in_words
from tidegate.core.url import MASK
from tidegate.errors import ConfigError

DEFAULT_FILE = Path("tidegate.toml")
PREFIX = "TIDEGATE_"
LEVEL = "__"
FLAGS = {
    "server.host": "--host",
    "server.port": "--port",
    "server.workers": "--workers",
    "store.url": "--store",
    "observability.log_level": "--log-level",
}

_AT = re.compile(r"(?P<problem>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """The settings from the file, the environment and the flags.

    If `path` is None, `tidegate.toml` in the working directory is read if it exists; a `path` must exist.
    `overrides` maps dotted keys to values, or to None for flags that were not given. Raises `ConfigError`.
    """
    return read(path, environ, overrides)[0]


def read(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> tuple[Settings, Origins]:
    """The settings as `load` returns them, and the source of each."""
    draft = _Draft()
    if path is not None or DEFAULT_FILE.exists():
        draft.add_file(path or DEFAULT_FILE)
    for name, text in _variables(environ):
        draft.add_variable(name, text)
    for key, value in overrides.items():
        if value is not None:
            draft.put(tuple(key.split(".")), value, FLAGS.get(key, key))
    return draft.settled(), draft.origins


class _Draft:
    """The configuration while it is being read: plain values, and the source of each."""

    def __init__(self) -> None:
        self.origins = Origins()

    @property
    def values(self) -> dict[str, Any]:
        return self.origins.values

    def add_file(self, path: Path) -> None:
        self.origins.file = str(path)
        try:
            self.origins.values = tomllib.loads(path.read_text("utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error

    def add_variable(self, name: str, text: str) -> None:
        """Adds one variable. A list is JSON if it begins with `[`, else its items are separated by commas."""
        key = tuple(name.removeprefix(PREFIX).lower().split(LEVEL))
        if key[0] == "models":
            self.values.setdefault("models", msgspec.to_builtins([{"provider": "llama", "name": "smollm2"}]))
        kind = kind_of(key, self.values)
        if kind is None:
            raise self.error(key, _unknown(key, self.values), source=name, value=MASK)
        try:
            value = _from_text(text, kind)
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            raise self.error(key, in_words(str(error)), source=name, value=text) from error
        self.put(key, value, name)

    def put(self, key: Key, value: object, source: str) -> None:
        node: Any = self.values
        for depth, part in enumerate(key[:-1], start=1):
            empty: object = [] if key[depth].isdecimal() else {}
            node = node[self._slot(node, part, empty, key[:depth], source)]
        node[self._slot(node, key[-1], value, key, source)] = value
        self.origins.sources[key] = source

    def settled(self) -> Settings:
        """The settings, once all sources are in. Raises `ConfigError` for the first problem."""
        for key, problem in unreadable(self.values):
            raise self.error(tuple(key.split(".")), problem)
        try:
            settings = normalised(msgspec.convert(self.values, Settings))
        except msgspec.ValidationError as error:
            raise self._explained(str(error)) from error
        for key, problem in problems(settings):
            raise self.error(tuple(key.split(".")), problem)
        return settings

    def error(self, key: Key, problem: str, *, source: str = "", value: object = None) -> ConfigError:
        """An error that names the key, the value and its source."""
        value = value_at(key, self.values) if value is None else value
        return ConfigError(message(key, value, source or self.origins.of(key), problem), param=".".join(key))

    def _explained(self, said: str) -> ConfigError:
        """msgspec's error with the key in dotted form, and with the values that are allowed."""
        found = _AT.fullmatch(said)
        assert found is not None
        problem, key = found["problem"], _from_path(found["path"] or "")
        field = _FIELD.fullmatch(problem)
        if field is not None:
            key = (*key, field["name"])
            unknown = field["what"] == "contains unknown"
            if not unknown:
                return self.error(key, _missing(key, self.values))
            # An unknown key may hold a secret, e.g. `apikey` or `pass`.
            text = isinstance(value_at(key, self.values), str)
            return self.error(key, _unknown(key, self.values), value=MASK if text else None)
        if problem.startswith("Invalid"):
            allowed = choices(kind_of(key[:-1] if key[-1] == "provider" else key, self.values))
            return self.error(key, "expected one of " + ", ".join(allowed))
        return self.error(key, in_words(problem))

    def _slot(self, node: object, part: str, empty: object, key: Key, source: str) -> str | int:
        """The index of `part` in a table or list, to which `empty` is added if there is no such part."""
        if isinstance(node, dict):
            cast("dict[str, object]", node).setdefault(part, empty)
            return part
        if not (isinstance(node, list) and is_index(part)):
            raise self.error(key[:-1], "expected a table")
        entries = cast("list[object]", node)
        if int(part) > len(entries):
            raise self.error(key, f"there are only {len(entries)} entries before it", source=source)
        if int(part) == len(entries):
            entries.append(empty)
        return int(part)


def _variables(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables that are settings. Those of providers come first, since they decide a model's other keys."""
    found = [(name, text) for name, text in environ.items() if name.startswith(PREFIX) and LEVEL in name[len(PREFIX) :]]
    return sorted(found, key=lambda pair: (not pair[0].endswith("__PROVIDER"), _natural(pair[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if is_index(part) else (-1, part) for part in name.split(LEVEL)]


def _from_text(text: str, kind: Any) -> object:
    """The value of a variable's text. Raises msgspec's errors."""
    if not is_structured(kind):
        return text if kind is Any else msgspec.convert(text, kind, strict=False)
    if text.startswith(("[", "{")):
        return msgspec.json.decode(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _unknown(key: Key, values: object) -> str:
    names = key_names(kind_of(key[:-1], values), value_at(key[:-1], values))
    return "unknown key" + (f"; there are {', '.join(names)}" if names else "")


def _missing(key: Key, values: object) -> str:
    allowed = choices(kind_of(key[:-1], values)) if key[-1] == "provider" else ()
    return "missing" + (f"; expected one of {', '.join(allowed)}" if allowed else "")


def _from_path(path: str) -> Key:
    """`.models[1].rate` as a key."""
    return tuple(part for part in re.sub(r"\[(\d+)\]", r".\1", path).split(".") if part)
