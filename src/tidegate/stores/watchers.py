"""Wakes the watchers of a stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

logger = logging.getLogger("tidegate.stores")


def wake_all(stream: str, watchers: Mapping[object, Callable[[], None]]) -> None:
    """Calls each watcher. One that raises, which none should, does not keep the others from being called."""
    for watcher in tuple(watchers.values()):
        try:
            watcher()
        except Exception:
            logger.exception("a reader of stream %s could not be woken", stream)
