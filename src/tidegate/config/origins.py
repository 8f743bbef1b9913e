"""Keeps the source of each value of the settings, for errors that name it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import msgspec

from tidegate.config.kinds import value_in
from tidegate.config.settings import Settings
from tidegate.config.show import shown
from tidegate.errors import ConfigError

Key = tuple[str, ...]


class Origins:
    """The sources of the settings' values by key: a file's name, a variable or a flag.

    `values` are those of the file and the environment. `models_flag` is the flag that has added models, and
    `only_flag` says that there are no others.
    """

    def __init__(self) -> None:
        self.file = ""
        self.values: dict[str, Any] = {}
        self.sources: dict[Key, str] = {}
        self.models_flag = ""
        self.only_flag = False

    def of(self, key: Key) -> str:
        """The source of the key, or of the table around it; else the file, which has every value not overridden."""
        depths = range(len(key), 0, -1)
        source = next((self.sources[key[:n]] for n in depths if key[:n] in self.sources), "")
        return source or (self.file if value_at(key[:1], self.values) is not None else "default")

    def located(self, error: ConfigError, settings: Settings) -> ConfigError:
        """The error of a value that failed in use, with the value's source; an error without a key stays as it is."""
        if not error.key:
            return error
        key, source = self._place(error.key, settings)
        value = value_at(_indexed(error.key, settings), _plain(settings))
        return type(error)(message(key, value, source, error.problem), param=".".join(key))

    def _place(self, key: Key, settings: Settings) -> tuple[Key, str]:
        if key[0] != "models":
            return key, self.of(key)
        for index, entry in enumerate([] if self.only_flag else self.values.get("models", [])):
            if entry["name"] == key[1]:
                key = ("models", str(index), *key[2:])
                return key, self.of(key)
        return _indexed(key, settings), self.models_flag or "default"


def wrong(key: Key, value: object, problem: str) -> ConfigError:
    """The error of a value that cannot be used, to which `Origins.located` adds the source."""
    return ConfigError(message(key, value, "", problem), key=key, problem=problem)


def message(key: Key, value: object, source: str, problem: str) -> str:
    """`key = value (source): problem`, with secrets masked; parts that are unknown are left out."""
    named = ".".join(key) if value is None else f"{'.'.join(key)} = {shown(key, value)}"
    return f"{named} ({source}): {problem}" if source else f"{named}: {problem}"


def value_at(key: Sequence[str], values: object) -> object:
    """The value at the key, or None."""
    return reduce(value_in, key, values)


def _indexed(key: Key, settings: Settings) -> Key:
    """The key with the index of a model in place of its name."""
    if key[0] != "models":
        return key
    return "models", next(_indices(settings, key[1]), key[1]), *key[2:]


def _indices(settings: Settings, name: str) -> Iterator[str]:
    return (str(index) for index, model in enumerate(settings.models) if model.name == name)


def _plain(settings: Settings) -> object:
    # Not by msgspec, since a path in a flag may have bytes that are no UTF-8.
    return json.loads(json.dumps(msgspec.to_builtins(settings, enc_hook=repr)))
