"""Keeps the log of a process whose Collector is away from being about nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

AGAIN_SECONDS = 60.0
"""How often the log says that telemetry cannot be delivered: each lost batch would be a line, and each lost span."""


class OnceInAWhile(logging.Filter):
    """Lets a record of each of OpenTelemetry's loggers pass once in `AGAIN_SECONDS`. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        now = self._clock()
        if now - self._said.get(record.name, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._said[record.name] = now
        return True
