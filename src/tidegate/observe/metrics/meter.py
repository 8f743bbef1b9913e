"""The meter: all counters and histograms of one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import get_args

from tidegate.observe.base import Outcome
from tidegate.observe.gauges import Reading
from tidegate.observe.metrics.series import Counter, Histogram, Series
from tidegate.observe.metrics.table import METRICS, Metric, subjects_of


class Meter:
    """Each series is there from the start or once it is asked for, and stays while what it is of is served."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, tuple[str, ...]], Counter] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        for metric in METRICS:
            for labels in metric.at_zero:
                self._begin(metric, labels)
        self._served: AbstractSet[tuple[str, ...]] = frozenset()
        self._gone: AbstractSet[tuple[str, ...]] = frozenset()

    def counter(self, name: str, *labels: str) -> Counter:
        """The counter of that name and those labels, in the table's order."""
        found = self._counters.get((name, labels))
        if found is None:
            found = self._counters[name, labels] = Counter()
        return found

    def histogram(self, name: str, *labels: str) -> Histogram:
        """The histogram of that name and those labels, in the table's order."""
        found = self._histograms.get((name, labels))
        if found is None:
            found = self._histograms[name, labels] = Histogram()
        return found

    def serve(self, models: Mapping[str, Sequence[str]]) -> None:
        """Begins what is measured of these models, and of the upstreams of each.

        What is measured of a model or an upstream that is left out stays until the next call: its last answers are
        still to be counted, and to be read.
        """
        served = {(name,) for name in models} | {(name, host) for name, hosts in models.items() for host in hosts}
        gone = self._gone - served
        self._forget(gone)
        self._gone, self._served = gone | (self._served - served), served
        for name, hosts in models.items():
            self._begin_model(name)
            for host in hosts:
                for outcome in get_args(Outcome):
                    self.counter("tidegate_upstream_attempts_total", name, host, outcome)

    def _begin_model(self, model: str) -> None:
        for metric in METRICS:
            if metric.labels == ("model",):
                self._begin(metric, (model,))
            elif metric.labels == ("model", "kind"):
                self._begin(metric, (model, "prompt"))
                self._begin(metric, (model, "completion"))
            elif metric.labels == ("model", "status", "code"):
                self._begin(metric, (model, "completed", ""))

    def series(self, readings: Iterable[Reading]) -> Sequence[Series]:
        """All series as they are now, and these gauges."""
        return [*self._counted(), *self._measured(), *map(_gauge, readings)]

    def _forget(self, gone: AbstractSet[tuple[str, ...]]) -> None:
        for kept in (self._counters, self._histograms):
            for name, labels in [key for key in kept if not gone.isdisjoint(subjects_of(*key))]:
                del kept[name, labels]

    def _begin(self, metric: Metric, labels: tuple[str, ...]) -> None:
        if metric.kind == "counter":
            self.counter(metric.name, *labels)
        elif metric.kind == "histogram":
            self.histogram(metric.name, *labels)

    def _counted(self) -> Iterator[Series]:
        for (name, labels), counter in self._counters.items():
            yield Series(name, labels, counter.value)

    def _measured(self) -> Iterator[Series]:
        for (name, labels), histogram in self._histograms.items():
            yield Series(name, labels, histogram.total, tuple(histogram.counts), dict(histogram.exemplars))


def _gauge(reading: Reading) -> Series:
    return Series(f"tidegate_{reading.name}", tuple(reading.labels.values()), reading.value)
