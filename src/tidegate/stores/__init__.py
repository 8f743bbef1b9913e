"""Stores keep logs. Each has a file or folder, implements the port in `base`, and is found by its URL's scheme."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.stores.traits import Traits

_REDIS = "tidegate.stores.redis.traits:TRAITS"

STORES = {
    "memory": "tidegate.stores.memory:TRAITS",
    "sqlite": "tidegate.stores.sqlite.store:TRAITS",
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+sentinel": _REDIS,
    "rediss+sentinel": _REDIS,
    "redis+cluster": _REDIS,
    "rediss+cluster": _REDIS,
}
"""Maps a URL scheme to the store's `Traits`, as an import string, so that only a store in use is imported."""


def traits_of(url: str) -> Traits | None:
    """The traits of the URL's store; None where there is no such store. An empty URL means `memory://`."""
    target = STORES.get(url.partition(":")[0] or "memory")
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
