"""Sorts series by metric, and adds up those of several processes, of which some may have ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tidegate.observe.metrics.series import Series
from tidegate.observe.metrics.table import BY_NAME, METRICS, Metric, subjects_of


def total(parts: Iterable[Sequence[Series]]) -> Sequence[Series]:
    """One series for each metric and set of labels; the exemplar of a bucket is the latest one."""
    found: dict[tuple[str, tuple[str, ...]], Series] = {}
    for part in parts:
        for series in part:
            key = series.metric, series.labels
            found[key] = _sum(found[key], series) if key in found else series
    return list(found.values())


def by_metric(series: Iterable[Series]) -> Sequence[tuple[Metric, Sequence[Series]]]:
    """All metrics in the table's order, each with its series, if it has any."""
    found: dict[str, list[Series]] = {metric.name: [] for metric in METRICS}
    for each in series:
        found[each.metric].append(each)
    return [(metric, found[metric.name]) for metric in METRICS]


def lasting(series: Iterable[Series]) -> Sequence[Series]:
    """What a process that has ended still counts for: all but its gauges."""
    return [each for each in series if BY_NAME[each.metric].kind != "gauge"]


def still_served(past: Iterable[Series], now: Iterable[Series]) -> Sequence[Series]:
    """What of the past is of no model and no upstream, or of one that is measured now."""
    subjects = {subject for each in now for subject in subjects_of(each.metric, each.labels)}
    return [each for each in past if subjects.issuperset(subjects_of(each.metric, each.labels))]


def _sum(one: Series, other: Series) -> Series:
    counts = None
    if one.counts is not None and other.counts is not None:
        counts = tuple(map(int.__add__, one.counts, other.counts))
    exemplars = one.exemplars | {
        bucket: each
        for bucket, each in other.exemplars.items()
        if bucket not in one.exemplars or one.exemplars[bucket].at < each.at
    }
    return Series(one.metric, one.labels, one.value + other.value, counts, exemplars)
