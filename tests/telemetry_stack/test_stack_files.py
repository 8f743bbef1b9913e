"""The shipped files, read by the programs they are for, and filled with made-up metrics."""

from __future__ import annotations

from pathlib import Path

import otlp_kit
import pytest
import stack_kit
from eventually_kit import eventually
from stack_kit import ARRIVES_SECONDS, FILES, Stack
from telemetry_kit import METRICS, SERIES, Query, alert_queries, filled, operands, panel_queries

pytestmark = pytest.mark.anyio

NOT_TO_BE_MADE = {"TelemetryLost"}
"""The Collector counts what it has lost when it has lost it: after five minutes."""


def test_the_collector_takes_its_configuration() -> None:
    """Of the version that compose.yaml names, with the addresses of compose.yaml."""
    stack_kit.checked("otelcol", "validate", "--config", str(FILES / "collector.yaml"))


def test_jaeger_takes_its_configuration() -> None:
    stack_kit.checked("jaeger", "validate", "--config", str(FILES / "jaeger.yaml"))


def test_prometheus_takes_its_configuration_and_rules() -> None:
    """promtool finds no fault, and no rule twice."""
    assert "SUCCESS" in stack_kit.checked(
        "promtool", "check", "config", "--lint=all", "--lint-fatal", str(FILES / "prometheus.yaml")
    )
    stack_kit.checked("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(FILES / "alerts.yaml"))


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    """Over hours of made-up series, and says what it found."""
    stack_kit.checked("promtool", "test", "rules", str(Path(__file__).with_name("alerts_test.yaml")))


@pytest.fixture(scope="module")
async def fed(stack: Stack) -> Stack:
    """The stack, with a node that has sent each metric, and then more."""
    await otlp_kit.send(stack.otlp, 5)
    await eventually(lambda: stack.query("tidegate_gaps_total == 5"), within=ARRIVES_SECONDS)
    await otlp_kit.send(stack.otlp, 10)
    await eventually(lambda: stack.query("tidegate_gaps_total == 10"), within=ARRIVES_SECONDS)
    # The Collector tells of itself at its own pace.
    for sent in ("spans", "log_records"):
        rate = f"rate(otelcol_exporter_sent_{sent}[1m])"
        await eventually(lambda rate=rate: stack.query(rate), within=ARRIVES_SECONDS)
    return stack


async def test_metrics_arrive_under_their_names(fed: Stack) -> None:
    """Nothing is added to a name or to the labels; `instance` is the node, and `job` is `tidegate`."""
    series = await fed.query(f'{{instance="{otlp_kit.NODE}", __name__=~"tidegate_.*"}}')
    found = dict[str, frozenset[str]]()
    for each in series:
        labels = each["metric"]
        assert labels["job"] == "tidegate"
        found[labels["__name__"]] = frozenset(labels) - {"__name__", "instance", "job"}
    expected = {name: labels for name, labels in SERIES.items() if name.startswith("tidegate_")}
    # An empty label is none for Prometheus.
    found["tidegate_generations_total"] |= {"code"}
    assert found == expected
    assert len({name.partition("_seconds")[0] for name in found}) >= len(METRICS) - 1


async def test_what_is_counted_first_has_risen(fed: Stack) -> None:
    """A counter that is first seen at 5 has risen by what it shows, not by what came later alone."""
    (risen,) = await fed.query(f'increase(tidegate_gaps_total{{instance="{otlp_kit.NODE}"}}[5m])')
    assert float(risen["value"][1]) > 5


async def test_a_log_record_has_its_trace(fed: Stack) -> None:
    """It is handed on to where Loki takes OTLP, with the ids of trace and span."""
    assert ("/otlp/v1/logs", "application/x-protobuf") in fed.loki
    assert any((each["trace_id"], each["span_id"]) == (otlp_kit.TRACE, otlp_kit.SPAN) for each in fed.logs)


async def test_a_trace_is_found(fed: Stack) -> None:
    """In Jaeger, by its id and by the stream it is about."""
    await eventually(lambda: fed.trace(otlp_kit.TRACE), within=ARRIVES_SECONDS)
    assert await fed.traces({"tidegate.stream": otlp_kit.STREAM}) == {otlp_kit.TRACE}
    assert await fed.traces({"tidegate.stream": "gen_another"}) == set()


async def test_a_measurement_leads_to_its_trace(fed: Stack) -> None:
    """Exemplars arrive in Prometheus with their trace id, under the name by which Grafana looks for it."""
    exemplars = await fed.exemplars("tidegate_time_to_first_token_seconds_bucket")
    assert {each["labels"]["trace_id"] for each in exemplars} >= {otlp_kit.TRACE}


@pytest.mark.parametrize("query", list(panel_queries()), ids=lambda query: f"{query.where}: {query.text}")
async def test_every_panel_has_something_to_show(fed: Stack, query: Query) -> None:
    """Where all metrics are there, no query of a dashboard comes back empty."""
    assert await fed.query(filled(query.text))


@pytest.mark.parametrize("query", list(alert_queries()), ids=lambda query: query.where)
async def test_every_alert_looks_at_something(fed: Stack, query: Query) -> None:
    """Where all metrics are there, each operand of its expression has a value."""
    for operand in operands(query.text):
        if query.where not in NOT_TO_BE_MADE:
            assert await fed.query(operand), operand
