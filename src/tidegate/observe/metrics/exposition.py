"""Writes series as text: OpenMetrics 1.0 with exemplars, or Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Exemplar

from tidegate.observe.metrics.series import Series
from tidegate.observe.metrics.table import BOUNDS, Metric
from tidegate.observe.metrics.totals import by_metric

BUCKETS = (*map(str, BOUNDS), "+Inf")


def exposed(series: Sequence[Series], accept: str) -> tuple[bytes, str]:
    """The text, and its content type: OpenMetrics where `accept` names it, as Prometheus does first of all."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(series))
    if "application/openmetrics-text" in accept.lower():
        write = cast("Callable[[CollectorRegistry], bytes]", openmetrics.generate_latest)  # pyright: ignore[reportUnknownMemberType]
        return write(registry), openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Collector:
    def __init__(self, series: Sequence[Series]) -> None:
        self._series = series

    def collect(self) -> Iterator[Family]:
        for metric, found in by_metric(self._series):
            yield _family(metric, sorted(found, key=lambda each: each.labels))


def _family(metric: Metric, series: Sequence[Series]) -> Family:
    if metric.kind == "histogram":
        family = HistogramMetricFamily(metric.name, metric.about, labels=metric.labels)
        for each in series:
            family.add_metric(each.labels, _buckets(each), each.value)
        return family
    family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
        metric.name, metric.about, labels=metric.labels
    )
    for each in series:
        family.add_metric(each.labels, each.value)
    return family


def _buckets(series: Series) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """The buckets with the counts up to each bound."""
    found: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    for number, count in enumerate(accumulate(series.counts or ())):
        exemplar = series.exemplars.get(number)
        if exemplar is None:
            found.append((BUCKETS[number], count))
        else:
            labels = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
            found.append((BUCKETS[number], count, Exemplar(labels, exemplar.value, exemplar.at)))
    return found
