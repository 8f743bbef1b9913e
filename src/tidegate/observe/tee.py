"""Passes occurrences on to several observers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tidegate.observe.base import Observer, Occurrence, StoreCall, StoreObserver

logger = logging.getLogger("tidegate.observe")


class Tee(Observer):
    """Tells all observers, in order. An exception from one is logged, and harms neither the others nor the caller."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._of_stores = [observer for observer in observers if isinstance(observer, StoreObserver)]

    @property
    def observes_stores(self) -> bool:
        """Whether any observer wants `StoreCall`s."""
        return bool(self._of_stores)

    def observe(self, occurrence: Occurrence) -> None:
        for observer in self._observers:
            try:
                observer.observe(occurrence)
            except Exception:
                logger.exception("%s has failed to observe", type(observer).__name__)

    def observe_store(self, call: StoreCall) -> None:
        for observer in self._of_stores:
            try:
                observer.observe_store(call)
            except Exception:
                logger.exception("%s has failed to observe a store", type(observer).__name__)
