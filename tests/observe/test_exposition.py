from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tidegate.observe.gauges import Reading
from tidegate.observe.metrics.exposition import exposed
from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.series import Exemplar, Series
from tidegate.observe.metrics.table import BOUNDS, METRICS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
"""What Prometheus sends."""

FORMATS = ("", OPENMETRICS)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HOSTILE = 'a"b\\c\n# EOF\nd{le="1"} 5 é€😀\\n,}\r\x00\u2028'


def families(series: Sequence[Series], accept: str) -> Mapping[str, Family]:
    """What a scraper reads, by the names of the table."""
    text, content_type = exposed(series, accept)
    if content_type.startswith("application/openmetrics-text"):
        assert text.endswith(b"# EOF\n")
        found = parse_openmetrics(text.decode())
    else:
        assert b"# EOF" not in text.splitlines()
        found = parse_text(text.decode())
    return {f"{each.name}_total" if each.type == "counter" else each.name: each for each in found}


def measured() -> Sequence[Series]:
    """Some of each kind."""
    meter = Meter()
    meter.serve({"m": [], "n": []})
    meter.counter("tidegate_tokens_total", "m", "prompt").add(7)
    histogram = meter.histogram("tidegate_generation_seconds", "m")
    for seconds in (0.0005, 0.3, 0.4, 100.0):
        histogram.observe(seconds)
    return meter.series([Reading("readers", 3, {"transport": "sse"}), Reading("streams_live", 2)])


@pytest.mark.parametrize("accept", FORMATS)
def test_every_metric_is_told_of_from_the_start(accept: str) -> None:
    """With its kind and what it says, before anything has happened: whoever builds a dashboard finds it."""
    found = families(Meter().series(()), accept)
    assert {name: (family.type, family.documentation) for name, family in found.items()} == {
        metric.name: (metric.kind, metric.about) for metric in METRICS
    }


@pytest.mark.parametrize("accept", FORMATS)
def test_what_is_written_is_what_was_measured(accept: str) -> None:
    """Each value with its labels; the buckets of a histogram have what is up to their bounds."""
    found = families(measured(), accept)
    tokens = {
        (each.labels["model"], each.labels["kind"]): each.value for each in found["tidegate_tokens_total"].samples
    }
    assert tokens["m", "prompt"] == 7
    assert sorted(tokens.values()) == [0, 0, 0, 7]
    assert [(each.labels, each.value) for each in found["tidegate_readers"].samples] == [({"transport": "sse"}, 3)]
    assert [(each.labels, each.value) for each in found["tidegate_streams_live"].samples] == [({}, 2)]
    samples = [each for each in found["tidegate_generation_seconds"].samples if each.labels["model"] == "m"]
    buckets = {float(each.labels["le"]): each.value for each in samples if each.name.endswith("_bucket")}
    assert list(buckets) == [*BOUNDS, float("inf")]
    assert (buckets[0.001], buckets[0.25], buckets[0.5], buckets[60.0], buckets[float("inf")]) == (1, 1, 3, 3, 4)
    assert {each.name.rpartition("_")[2]: each.value for each in samples if "le" not in each.labels} == {
        "count": 4,
        "sum": pytest.approx(100.7005),
    }


def test_an_example_is_written_with_its_trace() -> None:
    """In OpenMetrics, in its bucket; the other format has no place for it."""
    counts = (*(int(bound in (0.25, 1.0)) for bound in BOUNDS), 0)
    kept = {BOUNDS.index(0.25): Exemplar(0.2, 1700000000.25, TRACE, SPAN)}
    series = [Series("tidegate_generation_seconds", ("m",), 0.9, counts, kept)]
    samples = families(series, OPENMETRICS)["tidegate_generation_seconds"].samples
    (sample,) = [each for each in samples if each.exemplar is not None]
    assert sample.labels["le"] == "0.25"
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {"trace_id": TRACE, "span_id": SPAN}
    assert (sample.exemplar.value, float(sample.exemplar.timestamp or 0)) == (0.2, 1700000000.25)
    assert families(series, "")["tidegate_generation_seconds"].samples
    assert TRACE.encode() not in exposed(series, "")[0]


@pytest.mark.parametrize("accept", FORMATS)
def test_no_name_breaks_the_text(accept: str) -> None:
    """A model or an upstream may have any name: it is read back as it is, and nothing else is."""
    meter = Meter()
    meter.serve({HOSTILE: [HOSTILE]})
    found = families(meter.series([Reading("generations_queued", 4, {"model": HOSTILE})]), accept)
    assert found.keys() == {metric.name for metric in METRICS}
    (queued,) = found["tidegate_generations_queued"].samples
    assert (queued.labels, queued.value) == ({"model": HOSTILE}, 4)
    attempts = [each.labels for each in found["tidegate_upstream_attempts_total"].samples]
    assert {(each["model"], each["upstream"]) for each in attempts} == {(HOSTILE, HOSTILE)}
    assert len(attempts) == 3


@pytest.mark.parametrize("accept", FORMATS)
def test_the_same_is_written_in_the_same_order(accept: str) -> None:
    """By metric and label, whatever happened first: two scrapes can be compared line by line."""
    series = measured()
    assert exposed(series, accept) == exposed(series[::-1], accept)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/html,*/*;q=0.8", "text/plain"),
        ("text/plain;version=0.0.4", "text/plain"),
        (OPENMETRICS, "application/openmetrics-text"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        (PROMETHEUS, "application/openmetrics-text"),
    ],
)
def test_a_scraper_has_the_format_that_it_asks_for(accept: str, kind: str) -> None:
    """Prometheus gets OpenMetrics, and whoever asks for nothing what anybody can read."""
    _, content_type = exposed([], accept)
    assert content_type.partition(";")[0] == kind
    assert "charset=utf-8" in content_type


@pytest.mark.parametrize("version", ["abc", "1.x", "1.0.0-é", "1.0.0;version=b"])
def test_a_version_that_makes_no_sense_breaks_nothing(version: str) -> None:
    """Whatever `accept` says, there is an answer."""
    for kind in ("application/openmetrics-text", "text/plain"):
        assert families(measured(), f"{kind}; version={version}").keys() == {metric.name for metric in METRICS}
