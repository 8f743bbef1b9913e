"""API keys that are sent in a header."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tidegate.errors import ConfigError

# RFC 6750, 2.1 allows fewer characters; some servers' keys have more, and all of these may stand in a field value.
_FIT = re.compile(r"[!-~]*")


def fit_key(key: str, name: str) -> str:
    """The key without the white space that files and clipboards put around it.

    Raises `ConfigError` for a key that cannot stand in a header; the error has the key's `name`, never the key.
    """
    key = key.strip()
    if _FIT.fullmatch(key) is None:
        raise ConfigError(
            f"{name} cannot stand in a header: inside it is a space, a line break, or a character beyond ASCII"
        )
    return key


def key_in(variable: str, environ: Mapping[str, str]) -> str:
    """The key in an environment variable, empty where there is none. Raises `ConfigError`, as `fit_key` does."""
    return fit_key(environ.get(variable, ""), f"the key in {variable}")
