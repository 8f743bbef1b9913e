"""Waking whoever watches a stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

logger = logging.getLogger("tidegate.stores")


def wake_all(stream: str, watchers: Mapping[object, Callable[[], None]]) -> None:
    """Calls each of them. One that raises, which none should, keeps no other from its news."""
    for watcher in tuple(watchers.values()):
        try:
            watcher()
        except Exception:
            logger.exception("a reader of stream %s could not be woken", stream)
