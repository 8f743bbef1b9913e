"""What a store is opened with."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.config.settings import LimitSettings, Settings
from tidegate.stores.traits import Options


def store_options(settings: Settings, now: Callable[[], float]) -> Options:
    """The options of the settings; `now` is in Unix seconds. A limit that nobody has set is the store's own."""
    store, limits = settings.store, settings.limits
    each = limits.max_stored_bytes_per_principal
    return Options(
        max_generation_bytes=limits.max_generation_bytes,
        topic_history=store.topic_history,
        max_stored_bytes=store.max_bytes,
        max_stored_bytes_each=each if each != LimitSettings().max_stored_bytes_per_principal else 0,
        synchronous=store.synchronous,
        now=now,
        retention_seconds=store.retention_seconds,
        patience_seconds=store.patience_seconds,
        prefix=store.prefix,
        password_file=store.password_file,
        ca_file=store.ca_file,
    )
