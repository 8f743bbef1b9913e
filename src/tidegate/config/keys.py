"""Makes API keys."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_urlsafe

import msgspec

from tidegate.config.show import toml
from tidegate.config.words import in_words
from tidegate.errors import ConfigError
from tidegate.gate.api_keys import ApiKey, key_sha256

KEY_PREFIX = "tg_"
"""Lets people, and scanners for leaked secrets, recognise tidegate's keys."""

KEY_BYTES = 32


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """A key of 256 random bits, and the lines for `tidegate.toml` that have its hash.

    Raises `ConfigError` for a name that the file may not have.
    """
    key = KEY_PREFIX + token_urlsafe(KEY_BYTES)
    entry = {"name": name, "sha256": key_sha256(key), "scopes": list(dict.fromkeys(scopes))}
    try:
        msgspec.convert(entry, ApiKey)
    except msgspec.ValidationError as error:
        raise ConfigError(f"a key cannot have the name {name!r}: {in_words(str(error))}") from error
    return key, toml({"auth": {"keys": [entry]}})
