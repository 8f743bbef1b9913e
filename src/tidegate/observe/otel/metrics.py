"""Puts series into the form of OTLP: the names, labels and buckets are those of `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as Exported
from opentelemetry.sdk.resources import Resource

from tidegate.observe.metrics.series import Series
from tidegate.observe.metrics.table import BOUNDS, Metric
from tidegate.observe.metrics.totals import by_metric
from tidegate.observe.otel.context import SCOPE

UNITS = {"histogram": "s", "counter": "1", "gauge": "1"}


def exported(series: Sequence[Series], resource: Resource, since: int, now: int) -> MetricsData:
    """What was counted from `since` to `now`, both in Unix nanoseconds."""
    metrics = [_metric(metric, found, since, now) for metric, found in by_metric(series) if found]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, "")], "")])


def _metric(metric: Metric, series: Sequence[Series], since: int, now: int) -> Exported:
    cumulative = AggregationTemporality.CUMULATIVE
    match metric.kind:
        case "histogram":
            data = Histogram([_histogram(metric, each, since, now) for each in series], cumulative)
        case "counter":
            data = Sum([_number(metric, each, since, now) for each in series], cumulative, is_monotonic=True)
        case "gauge":
            data = Gauge([_number(metric, each, since, now) for each in series])
    return Exported(metric.name, metric.about, UNITS[metric.kind], data)


def _number(metric: Metric, series: Series, since: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(_labels(metric, series), since, now, series.value)


def _histogram(metric: Metric, series: Series, since: int, now: int) -> HistogramDataPoint:
    counts = series.counts or ()
    return HistogramDataPoint(
        _labels(metric, series),
        since,
        now,
        sum(counts),
        series.value,
        counts,
        BOUNDS,
        # Neither is kept; both are optional in the protocol, though not in the types.
        min=cast("float", None),
        max=cast("float", None),
        exemplars=[
            Exemplar({}, each.value, int(each.at * 1e9), int(each.span_id, 16), int(each.trace_id, 16))
            for each in series.exemplars.values()
        ],
    )


def _labels(metric: Metric, series: Series) -> dict[str, str]:
    return dict(zip(metric.labels, series.labels, strict=True))
