"""Where logs live: one file a store, behind the port in `base`, opened by the scheme of its URL."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.stores.traits import Traits

STORES = {"memory": "tidegate.stores.memory:TRAITS", "sqlite": "tidegate.stores.sqlite.store:TRAITS"}
"""URL scheme to what the store says of itself, as import strings, so that only what is used is imported."""

PLANNED = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
"""Schemes that a configuration may name already."""


def traits_of(url: str) -> Traits | None:
    """What the store of this URL says of itself; None where there is no such store. No URL at all is `memory://`."""
    target = STORES.get(url.partition(":")[0] or "memory")
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
