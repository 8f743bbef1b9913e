"""The names of tidegate's metrics with their labels, and what the shipped files ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tidegate.observe.metrics import table

ROOT = Path(__file__).parents[1]
FILES = ROOT / "deploy" / "telemetry"
DASHBOARDS = sorted((FILES / "grafana" / "dashboards").glob("*.json"))


def _of(*kinds: str) -> dict[str, frozenset[str]]:
    return {metric.name: frozenset(metric.labels) for metric in table.METRICS if metric.kind in kinds}


HISTOGRAMS: Mapping[str, frozenset[str]] = _of("histogram")
COUNTERS: Mapping[str, frozenset[str]] = _of("counter")
GAUGES: Mapping[str, frozenset[str]] = _of("gauge")
METRICS: Mapping[str, frozenset[str]] = _of("histogram", "counter", "gauge")

OF_ALL = frozenset({"instance", "job"})

OF_OTHERS: Mapping[str, frozenset[str]] = {
    "ALERTS": frozenset({"alertname", "alertstate"}),
    "otelcol_exporter_send_failed_log_records": frozenset({"exporter"}),
    "otelcol_exporter_send_failed_spans": frozenset({"exporter"}),
    "otelcol_exporter_sent_log_records": frozenset({"exporter"}),
    "otelcol_exporter_sent_spans": frozenset({"exporter"}),
    "target_info": frozenset({"service_version"}),
    "up": frozenset(),
}
"""What Prometheus and the Collector say of themselves."""

SERIES: Mapping[str, frozenset[str]] = {
    **{name + suffix: labels for name, labels in HISTOGRAMS.items() for suffix in ("_count", "_sum")},
    **{f"{name}_bucket": labels | {"le"} for name, labels in HISTOGRAMS.items()},
    **COUNTERS,
    **GAUGES,
    **OF_OTHERS,
}
"""What can be asked of Prometheus."""

_QUOTED = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"\b([A-Za-z_]\w*)\s*\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_NAME = re.compile(r"(?<![\w$.])(?:tidegate_|otelcol_)\w+|\b(?:ALERTS|target_info|up)\b")


class Query(NamedTuple):
    """A query of Prometheus, and where it stands."""

    where: str
    text: str

    @property
    def names(self) -> set[str]:
        return set(_NAME.findall(_QUOTED.sub('""', self.text)))

    @property
    def selectors(self) -> Iterator[tuple[str, set[str]]]:
        """The names that are followed by labels, with these."""
        for name, labels in _SELECTOR.findall(_QUOTED.sub('""', self.text)):
            yield name, {re.split(r"[=!]", each)[0].strip() for each in labels.split(",") if each.strip()}

    @property
    def grouped(self) -> set[str]:
        """The labels by which it groups."""
        return {label.strip() for labels in _GROUPING.findall(self.text) for label in labels.split(",")}


def load(path: Path) -> Any:
    """A file of the stack, parsed."""
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for group in load(FILES / "alerts.yaml")["groups"] for rule in group["rules"]]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """The panels of all dashboards, and where each stands."""
    for path in DASHBOARDS:
        for panel in load(path)["panels"]:
            yield f"{path.stem}: {panel['title']}", panel


def panel_queries() -> Iterator[Query]:
    """What the dashboards ask of Prometheus."""
    for where, panel in panels():
        if panel["datasource"]["uid"] == "prometheus":
            for target in panel["targets"]:
                yield Query(where, target["expr"])


def alert_queries() -> Iterator[Query]:
    """What the alerts ask of Prometheus."""
    for rule in rules():
        yield Query(rule["alert"], rule["expr"])


_PARAMETERS = {
    "$__rate_interval": "1m",
    "$instance": ".*",
    "$model": ".*",
    "$upstream": ".*",
}


def filled(text: str) -> str:
    """A panel's query as Grafana asks it for all instances and models."""
    for name, value in _PARAMETERS.items():
        text = text.replace(name, value)
    return text


def operands(text: str) -> Iterator[str]:
    """The parts of an alert's expression that have to have values, for the alert to be able to fire at all.

    Of a comparison that is the left side. `absent` fires where there is none.
    """
    parts, depth, begin = list[str](), 0, 0
    for token in re.finditer(r"[(){}]|\b(?:and|or|unless)\b", text):
        if token[0] in "({":
            depth += 1
        elif token[0] in ")}":
            depth -= 1
        elif not depth:
            parts.append(text[begin : token.start()])
            begin = token.end()
    for part in map(str.strip, [*parts, text[begin:]]):
        if parts and part.startswith("(") and part.endswith(")"):
            yield from operands(part[1:-1])
        else:
            left = re.split(r"\s(?:<|>|>=|<=|==)\s", part)[0]
            yield re.sub(r"^absent\((.*)\)$", r"\1", left)
