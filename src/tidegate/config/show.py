"""Shows the settings as TOML, with secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import msgspec

from tidegate.config.settings import Settings
from tidegate.core.url import MASK, shown_url
from tidegate.core.visible import UNSAFE

_SECRET_WORDS = {"key", "keys", "secret", "password", "token", "sha256", "env"}
# A variable's name that could be a key by mistake is not shown: keys have small letters and digits, or are long.
_VARIABLE = re.compile(r"(?=.{1,64}$)(?:[A-Z][A-Z0-9_]*|[A-Za-z_]+)")
_PATH = re.compile(r"[/.~].*", re.DOTALL)
_URL_KEYS = ("url", "base_url", "jwks_url", "otlp_endpoint")
_LONGEST = 200


def masked(settings: Settings) -> dict[str, Any]:
    """The whole effective configuration as plain values: URLs without secrets, hashes of keys cut to 8 digits."""
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings, enc_hook=_function_name))
    for key in values["auth"]["keys"]:
        key["sha256"] = key["sha256"][:8] + MASK
    _mask_urls(values)
    return values


def toml(values: dict[str, Any]) -> str:
    """Plain values as a TOML document (toml.io, 1.0)."""
    return "\n".join(_table("", values)).strip() + "\n"


def shown(key: Sequence[str], value: object) -> str:
    """A value as an error may show it: without secrets, and shortened."""
    if _is_table(value) or _is_tables(value):
        return "a table" if _is_table(value) else "tables"
    name = next((part for part in reversed(key) if not part.isdecimal()), "")
    if value and _SECRET_WORDS.intersection(name.split("_")) and not _names_a_secret(name, value):
        return MASK
    text = repr(shown_url(value)) if isinstance(value, str) else shown_url(repr(value))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _names_a_secret(name: str, value: object) -> bool:
    """Whether the value names the variable or file of a secret, and looks like such a name."""
    pattern = {"env": _VARIABLE, "file": _PATH}.get(name.rpartition("_")[2])
    return pattern is not None and isinstance(value, str) and pattern.fullmatch(value) is not None


def _mask_urls(values: dict[str, Any]) -> None:
    for key, value in values.items():
        if key in _URL_KEYS:
            values[key] = shown_url(value)
        for table in value if _is_tables(value) else (value,):
            if _is_table(table):
                _mask_urls(table)


def _function_name(target: object) -> str:
    function = cast("Callable[..., object]", target)
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def _table(name: str, values: dict[str, Any]) -> Iterator[str]:
    inner = {key: value for key, value in values.items() if _is_table(value) or _is_tables(value)}
    yield from (f"{key} = {_value(value)}" for key, value in values.items() if key not in inner)
    for key, value in inner.items():
        path = f"{name}.{key}" if name else key
        for each in value if _is_tables(value) else (value,):
            if _is_tables(value) or not all(_is_tables(item) for item in value.values()):
                yield ""
                yield f"[[{path}]]" if _is_tables(value) else f"[{path}]"
            yield from _table(path, each)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, dict) for item in cast("Sequence[object]", value))


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in cast("Sequence[object]", value)) + "]"
    if isinstance(value, str):
        return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    return json.dumps(value)
