"""Stores keep logs. Each has a file or folder, implements the port in `base`, and is found by its URL's scheme."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.stores.traits import Traits

STORES = {"memory": "tidegate.stores.memory:TRAITS", "sqlite": "tidegate.stores.sqlite.store:TRAITS"}
"""Maps a URL scheme to the store's `Traits`, as an import string, so that only a store in use is imported."""

PLANNED = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
"""Schemes of stores that do not exist yet, which a configuration may name already."""


def traits_of(url: str) -> Traits | None:
    """The traits of the URL's store; None where there is no such store. An empty URL means `memory://`."""
    target = STORES.get(url.partition(":")[0] or "memory")
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
