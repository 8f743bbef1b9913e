"""Measures the tokens of one generation as they come."""

from __future__ import annotations

from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.series import Histogram


class Pace:
    """`since` is when the generation was created, None where another process has begun it and sent its first token.

    All times are in seconds of one clock.
    """

    __slots__ = ("_between", "_first", "_last", "_since")

    def __init__(self, meter: Meter, model: str, since: float | None) -> None:
        self._first: Histogram = meter.histogram("tidegate_time_to_first_token_seconds", model)
        self._between: Histogram = meter.histogram("tidegate_inter_token_seconds", model)
        self._since = since
        self._last: float | None = None

    def came(self, count: int, now: float) -> None:
        """So many tokens, at least one, have come together: the time since the last ones is divided among them."""
        if self._last is not None:
            self._between.observe((now - self._last) / count, count)
        elif self._since is not None:
            self._first.observe_traced(now - self._since)
        self._last = now
