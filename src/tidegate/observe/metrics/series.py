"""What is counted: one counter, one histogram, and the series that is read from either."""

from __future__ import annotations

import time
from bisect import bisect_left

import msgspec

from tidegate.core.trace_context import SAMPLED, current_trace
from tidegate.observe.metrics.table import BOUNDS


class Exemplar(msgspec.Struct, frozen=True):
    """One observation whose trace can be looked up: its value in seconds, its Unix time, and its span."""

    value: float
    at: float
    trace_id: str
    span_id: str


class Series(msgspec.Struct, frozen=True):
    """The values of one metric for one set of labels. A histogram has the `counts` of its buckets, the last of which is
    what is beyond all bounds, and its sum as `value`; `exemplars` are by bucket."""

    metric: str
    labels: tuple[str, ...]
    value: float
    counts: tuple[int, ...] | None = None
    exemplars: dict[int, Exemplar] = {}


class Counter:
    """Counts up."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, count: int) -> None:
        self.value += count


class Histogram:
    """Counts durations by bucket. Its calls are part of what a token costs."""

    __slots__ = ("counts", "exemplars", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, seconds: float, times: int = 1) -> None:
        """Counts `times` durations of so many seconds."""
        self.counts[bisect_left(BOUNDS, seconds)] += times
        self.total += seconds * times

    def observe_traced(self, seconds: float) -> None:
        """Counts one duration, and keeps the current span as its bucket's exemplar if it is sampled."""
        self.observe(seconds)
        trace = current_trace.get()
        if trace is not None and trace.flags & SAMPLED:
            exemplar = Exemplar(seconds, time.time(), trace.trace_id, trace.span_id)
            self.exemplars[bisect_left(BOUNDS, seconds)] = exemplar
