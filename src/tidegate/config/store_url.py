"""The place for logs where the settings name no store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tidegate.config.settings import Settings
from tidegate.errors import ConfigError
from tidegate.stores.sqlite.url import sqlite_url

FILE = "tidegate.db"


def with_state_store(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings; where they name no store, with a file in the user's state directory, which is created.

    The directory is `$XDG_STATE_HOME/tidegate`, by default `~/.local/state/tidegate` (XDG Base Directory
    Specification). Since prompts and answers are in it, only the user may read it. Raises `ConfigError`.
    """
    if settings.store.url:
        return settings
    try:
        base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(base).absolute() / "tidegate"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the user's state directory, which $XDG_STATE_HOME may name, cannot be made ({reason}): name another "
            "place by --store sqlite:////PATH, or --store memory:// to keep nothing",
            key=("store", "url"),
        ) from error
    store = msgspec.structs.replace(settings.store, url=sqlite_url(folder / FILE))
    return msgspec.structs.replace(settings, store=store)
