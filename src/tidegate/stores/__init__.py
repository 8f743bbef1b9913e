"""Where logs live: one file a store, behind the port in `base`, opened by the scheme of its URL."""

from __future__ import annotations

STORES = {"memory": "tidegate.stores.memory:MemoryStore", "sqlite": "tidegate.stores.sqlite:SqliteStore"}
"""URL scheme to class, as import strings, so that only what is used is imported."""
