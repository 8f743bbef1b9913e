"""The files of deploy/telemetry and docs/runbook.md, without the programs that read them (`make telemetry`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from telemetry_kit import (
    DASHBOARDS,
    FILES,
    METRICS,
    OF_ALL,
    ROOT,
    SERIES,
    Query,
    alert_queries,
    load,
    panel_queries,
    panels,
    rules,
)

QUERIES = [*panel_queries(), *alert_queries()]
PROVISIONED = FILES / "grafana" / "provisioning"
SOURCES: Mapping[str, dict[str, Any]] = {
    each["uid"]: each for each in load(PROVISIONED / "datasources" / "tidegate.yaml")["datasources"]
}
COMPOSE = load(FILES / "compose.yaml")
VARIABLE = re.compile(r"\$(?!_)\{?(\w+)")
ANCHOR = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
UNITS = {"short", "percentunit", "s", "ops", "reqps", "Bps"}
KINDS = {"stat", "timeseries", "table", "logs"}
WIDTH = 24


def runbook() -> str:
    return (ROOT / "docs" / "runbook.md").read_text()


def anchors(text: str) -> set[str]:
    """What the headings of a page can be linked to by, as GitHub makes it."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in ANCHOR.findall(text)}


def files() -> list[Path]:
    return sorted(path for path in FILES.rglob("*") if path.suffix in (".yaml", ".json"))


def title(query: Query) -> str:
    return f"{query.where}: {query.text}"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(FILES).as_posix())
def test_every_file_of_the_stack_can_be_read(path: Path) -> None:
    """Each is YAML or JSON, and holds a table."""
    assert isinstance(load(path), dict)


@pytest.mark.parametrize("query", QUERIES, ids=title)
def test_a_query_asks_for_what_exists(query: Query) -> None:
    """Each metric is one of the contract's, or the stack's own, and has the labels that are asked for."""
    assert query.names
    assert query.names - set(SERIES) == set()
    for name, labels in query.selectors:
        assert labels - SERIES[name] - OF_ALL == set(), name
    known = OF_ALL.union(*(SERIES[name] for name in query.names))
    assert query.grouped - known == set()


def test_every_metric_is_shown() -> None:
    """Whatever tidegate measures stands in a panel of a dashboard."""
    shown = {re.sub("_(bucket|count|sum)$", "", name) for query in panel_queries() for name in query.names}
    assert set(METRICS) - shown == set()


def test_every_alert_says_what_it_is() -> None:
    """An alert has a severity, a summary, a description that shows what was found, and a link to its entry."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        said = rule["annotations"]
        assert set(said) == {"summary", "description", "runbook"}
        assert said["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        shown = set(re.findall(r"\$labels\.(\w+)", said["summary"] + said["description"]))
        assert shown <= Query(rule["alert"], rule["expr"]).grouped, rule["alert"]


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    """And every entry has an alert, a meaning, where to look and what to do."""
    _, _, entries = runbook().partition("\n## Alerts\n")
    sections = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=\n### |\Z)", entries, re.MULTILINE | re.DOTALL))
    assert list(sections) == [rule["alert"] for rule in rules()]
    for name, text in sections.items():
        assert re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE) == ["Means", "Look at", "Do"], name


def test_the_runbook_leads_somewhere() -> None:
    """Its links lead to headings and pages that exist, and the panels it names are those of the dashboard it names."""
    text = runbook()
    for page, _, anchor in re.findall(r"\]\(([^)#]*)(#?)([^)]*)\)", text):
        target = ROOT / "docs" / page if page else ROOT / "docs" / "runbook.md"
        assert target.exists(), page
        assert not anchor or anchor in anchors(target.read_text()), anchor
    boards = {path.stem: load(path) for path in DASHBOARDS}
    named = re.findall(r"[Dd]ashboard \*(\w+)\*((?:,? (?:and )?\*[^*]+\*)*)", " ".join(text.split()))
    assert len(named) > len(rules()) / 2
    for board, titles in named:
        shown = {panel["title"] for panel in boards[board]["panels"]} | {"Stream id", "Request id"}
        assert set(re.findall(r"\*([^*]+)\*", titles)) - shown == set(), board


def test_the_tests_of_the_alerts_know_each() -> None:
    """alerts_test.yaml says when each alert fires, and when it does not."""
    tests = load(ROOT / "tests" / "telemetry_stack" / "alerts_test.yaml")["tests"]
    fires, silent = set[str](), set[str]()
    for case in (case for test in tests for case in test["alert_rule_test"]):
        (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    assert fires == silent == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_one(path: Path) -> None:
    """It has what Grafana needs to provision it: a uid, a time, its variables, and panels that do not overlap."""
    board = load(path)
    assert board["uid"] == f"tidegate-{path.stem}"
    assert board["schemaVersion"] >= 36
    assert set(board["time"]) == {"from", "to"}
    assert "id" not in board
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set[tuple[int, int]]()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < WIDTH
        taken |= cells


@pytest.mark.parametrize(("where", "panel"), list(panels()), ids=[where for where, _ in panels()])
def test_a_panel_says_what_it_shows(where: str, panel: dict[str, Any]) -> None:
    """It has a title, a description and a unit; what it asks is asked of a data source that is provisioned."""
    assert panel["type"] in KINDS
    assert panel["title"]
    assert panel["description"].endswith(".")
    source = panel["datasource"]
    assert SOURCES[source["uid"]]["type"] == source["type"]
    if panel["type"] in ("stat", "timeseries"):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["expr"] if source["type"] in ("prometheus", "loki") else target["queryType"] == "search"
        for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
            assert label in Query(where, target["expr"]).grouped


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_variables_of_a_dashboard_are_used_and_known(path: Path) -> None:
    """A query uses variables of its dashboard, and each variable is used; their values come from labels that exist."""
    board = load(path)
    used = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in VARIABLE.findall(target.get("expr", "") + target.get("tags", ""))
    }
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert used == set(variables)
    for each in variables.values():
        if each["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["query"]).groups()  # type: ignore[union-attr]
            assert label in SERIES[metric] | OF_ALL
            assert each["datasource"]["uid"] == "prometheus"


def test_traces_logs_and_metrics_lead_to_each_other() -> None:
    """Exemplars lead to traces, traces to logs, logs to traces, each to a data source that exists."""
    exemplars = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert [(each["name"], each["datasourceUid"]) for each in exemplars] == [("trace_id", "jaeger")]
    logs = SOURCES["jaeger"]["jsonData"]["tracesToLogsV2"]
    assert logs["datasourceUid"] == "loki"
    assert logs["customQuery"] is True
    # `$$` is what the file has to say for `$`.
    assert "trace_id=`$${__trace.traceId}`" in logs["query"]
    (derived,) = SOURCES["loki"]["jsonData"]["derivedFields"]
    assert (derived["matcherType"], derived["matcherRegex"]) == ("label", "trace_id")
    assert (derived["datasourceUid"], derived["url"]) == ("jaeger", "$${__value.raw}")
    assert [uid for uid, source in SOURCES.items() if source.get("isDefault")] == ["prometheus"]


def test_the_parts_of_the_stack_find_each_other() -> None:
    """Every host that a configuration names is a service of compose.yaml, and every file that is mounted exists."""
    services = COMPOSE["services"]
    texts = [(FILES / name).read_text() for name in ("collector.yaml", "prometheus.yaml")]
    texts += [source["url"] for source in SOURCES.values()]
    hosts = {host for text in texts for host in re.findall(r"(?:://|\"|:-)([a-z]+):\d+", text)}
    assert hosts == set(services) - {"grafana"}
    for service in services.values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
        for volume in service["volumes"]:
            host, *_ = volume.split(":")
            assert (FILES / host).exists() if host.startswith(".") else host in COMPOSE["volumes"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_what_grafana_reads_is_mounted_where_it_looks() -> None:
    """The folder of the dashboards is the one that compose.yaml mounts."""
    (provider,) = load(PROVISIONED / "dashboards" / "tidegate.yaml")["providers"]
    mounted = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    assert provider["type"] == "file"
    assert mounted["./grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"


def test_loki_keeps_the_fields_of_a_log_record() -> None:
    """Its schema has structured metadata, and `service_name`, with which every query begins, is its index."""
    loki = load(FILES / "loki.yaml")
    assert loki["schema_config"]["configs"][-1]["schema"] == "v13"
    assert loki["schema_config"]["configs"][-1]["store"] == "tsdb"
    assert loki["limits_config"]["allow_structured_metadata"] is True
    (index, *_) = loki["limits_config"]["otlp_config"]["resource_attributes"]["attributes_config"]
    assert index == {"action": "index_label", "attributes": ["service.name"]}
    for _, panel in panels():
        if panel["datasource"]["uid"] == "loki":
            assert all(target["expr"].startswith('{service_name="tidegate"}') for target in panel["targets"])


def test_every_pipeline_bounds_what_it_holds() -> None:
    """The memory limiter comes first in each pipeline of the Collector, and all that is named exists."""
    collector = load(FILES / "collector.yaml")
    assert set(collector["service"]["pipelines"]) == {"traces", "metrics", "logs"}
    for pipeline in collector["service"]["pipelines"].values():
        assert pipeline["processors"] == ["memory_limiter", "batch"]
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(collector[kind])
