"""docs/telemetry.md names exactly what is measured, sent and logged."""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from tidegate.core.connection_state import State
from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import SAMPLED, TraceContext, current_trace
from tidegate.observe import logging as lines
from tidegate.observe.base import (
    CallRefused,
    Failure,
    GenerationEnded,
    GenerationStarted,
    LimitReached,
    Occurrence,
    Outcome,
    ReaderAttached,
    ReaderLeft,
    RequestDone,
    UpstreamAttempt,
)
from tidegate.observe.logging import JsonFormatter, LoggingObserver
from tidegate.observe.metrics.table import BOUNDS, LIMITS, METRICS, TRANSPORTS
from tidegate.observe.otel.spans import SpansObserver, of_attempt, of_generation, of_request
from tidegate.observe.otel.telemetry import Telemetry
from tidegate.providers import PROVIDERS
from tidegate.serving.registry import Transport

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "telemetry.md").read_text("utf-8")

SPAN = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", SAMPLED, "", "b7ad6b7169203331")
DONE = RequestDone(
    "req_1", "METHOD", "/p", 200, 1.0, "key:ci", "192.0.2.7", "gen_1", "draining", route="ROUTE", head_s=0.5, span=SPAN
)
ENDED = GenerationEnded(
    "gen_1", "MODEL", "key:ci", "failed", "provider_error", 2.0, 0.5, 3, 4, "openai", 0.25, "stop", SPAN
)
ATTEMPT = UpstreamAttempt("MODEL", "UPSTREAM", "failed", "provider_error", 1.0, SPAN, "openai")
LOGGED: Sequence[Occurrence] = (
    DONE,
    ENDED,
    GenerationStarted("gen_1", "MODEL", "key:ci", 0.5),
    ReaderAttached("gen_1", "rd_1", "sse", "key:ci", resumed=True),
    ReaderLeft("gen_1", "rd_1", "sse", 7, 2.0, "ended"),
    LimitReached("connections", "key:ci", "192.0.2.7", 2),
    Failure("…", ValueError("no"), "req_1", "gen_1"),
)


def table(*heads: str) -> list[list[str]]:
    """The cells of the table whose first columns have these heads."""
    rows: list[list[str]] = []
    _, _, below = PAGE.partition(f"\n| {' | '.join(heads)} |")
    assert below, f"there is no table {heads}"
    for line in below.split("\n")[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.split("|")[1:-1]])
    return rows


def named(cell: str) -> list[str]:
    """The names in a cell, in their order."""
    return re.findall(r"`([^`]+)`", cell)


def column(*heads: str) -> list[str]:
    """The names in a table's first column."""
    return [name for first, *_ in table(*heads) for name in named(first)]


def test_every_metric_is_on_the_page_with_its_kind_and_labels() -> None:
    """And no other one."""
    rows = [(*named(name), kind, *named(labels)) for name, kind, labels, _ in table("metric", "kind", "labels")]
    assert rows == [(metric.name, metric.kind, *metric.labels) for metric in METRICS]


def test_every_label_is_on_the_page() -> None:
    """And no other one."""
    assert sorted(column("label", "values")) == sorted({label for metric in METRICS for label in metric.labels})


def test_labels_of_a_closed_set_are_on_the_page_with_their_values() -> None:
    """What a dashboard may choose from."""
    values = {named(label)[0]: named(cell) for label, cell in table("label", "values")}
    assert values["transport"] == list(TRANSPORTS) == list(get_args(Transport))
    assert values["outcome"] == list(get_args(Outcome))
    assert values["limit"] == list(LIMITS.values())
    # The registry does not keep those that are closed.
    assert values["state"] == [state for state in get_args(State) if state != "closed"]


def test_the_bounds_of_the_buckets_are_on_the_page() -> None:
    """Whoever writes an alert has to know them."""
    said = PAGE.partition("in buckets up to ")[2].partition(". Every metric")[0]
    assert [float(each) for each in re.findall(r"\d+(?:\.\d+)?", said)] == list(BOUNDS)


def test_every_span_is_on_the_page_with_its_kind() -> None:
    """And no other one."""
    spans: list[ReadableSpan] = []
    observer = SpansObserver(Resource({}), spans.append, lambda: 10**18)
    samples: Mapping[type, Occurrence] = {type(each): each for each in (*LOGGED, ATTEMPT, CallRefused("overloaded"))}
    assert samples.keys() == set(get_args(Occurrence))
    for each in samples.values():
        observer.observe(each)
    rows = {named(span)[0]: kind for span, kind, *_ in table("span", "kind")}
    assert rows == {span.name: span.kind.name.lower() for span in spans}


def test_every_attribute_is_on_the_page_with_its_spans() -> None:
    """And no other one."""
    made = {"request": of_request(DONE), "generation": of_generation(ENDED), "attempt": of_attempt(ATTEMPT)}
    rows = {named(key)[0]: spans.split(", ") for key, spans, _ in table("attribute", "of")}
    assert rows == {key: [span for span, keys in made.items() if key in keys] for keys in made.values() for key in keys}


def test_every_provider_is_on_the_page() -> None:
    """By the name that its spans have."""
    (row,) = [what for key, _, what in table("attribute", "of") if "gen_ai.provider.name" in key]
    assert named(row) == sorted(PROVIDERS)


def test_every_attribute_of_the_resource_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other one."""
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    monkeypatch.delenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", raising=False)
    telemetry = Telemetry("http://collector:4318", node="node_1", version="1", series=list)
    assert sorted(column("attribute", "what it says")) == sorted(telemetry._resource.attributes)


def record(occurrence: Occurrence, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """What is logged of it."""
    caplog.clear()
    with caplog.at_level("DEBUG", "tidegate"):
        LoggingObserver().observe(occurrence)
    (found,) = caplog.records
    return found


def by_message() -> Mapping[str, list[str]]:
    """The fields of each line, by the message that the page has."""
    return {named(message)[0]: named(fields) for message, _, fields in table("message", "level", "fields")}


def test_every_line_of_an_occurrence_is_on_the_page_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """In the order in which they are printed."""
    rows = by_message()
    for occurrence in LOGGED:
        found = record(occurrence, caplog)
        printed: dict[str, Any] = vars(found)["fields"]
        assert rows[found.getMessage()] == list(printed)
        if not isinstance(occurrence, Failure):
            struct = set(msgspec.structs.asdict(occurrence))
            assert set(printed) == struct - lines._UNLOGGED.get(type(occurrence), set())


def test_the_level_of_a_line_is_on_the_page(caplog: pytest.LogCaptureFixture) -> None:
    """First of all the usual one."""
    levels = {named(message)[0]: re.findall(r"\w+", level) for message, level, _ in table("message", "level")}
    for occurrence in LOGGED:
        found = record(occurrence, caplog)
        usual = "info" if occurrence is ENDED else found.levelname.lower()
        assert levels[found.getMessage()][0] == usual
        assert found.levelname.lower() in levels[found.getMessage()]


def fields_of_callers() -> Iterator[frozenset[str]]:
    """The keys of each `fields` that is passed to a logger by the source, but for those of occurrences."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        if path.name == "logging.py" or 'extra={"fields": fields}' not in (text := path.read_text("utf-8")):
            continue
        tree = ast.parse(text)
        for function in filter(lambda node: isinstance(node, ast.FunctionDef), ast.walk(tree)):
            keys = frozenset(_keys(function))
            if keys:
                yield keys


def _keys(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="fields")], value=ast.Dict(keys=keys))
                | ast.AugAssign(target=ast.Name(id="fields"), value=ast.Dict(keys=keys))
            ):
                yield from (key.value for key in keys if isinstance(key, ast.Constant))
            case _:
                pass


def test_every_field_that_is_passed_to_a_logger_is_on_the_page() -> None:
    """Together with the others of its line."""
    of_occurrences = set(map(_message, LOGGED))
    rows = {frozenset(fields) for message, fields in by_message().items() if message not in of_occurrences}
    assert set(fields_of_callers()) == rows


def test_all_extra_fields_are_passed_by_that_name() -> None:
    """Else the test before would not find them."""
    methods = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    passed = {
        f"{path.name}: {ast.unparse(keyword.value)}"
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods
        for keyword in node.keywords
        if keyword.arg == "extra"
    }
    assert {each for each in passed if not each.endswith(": {'fields': fields}")} == set()
    assert passed


def _message(occurrence: Occurrence) -> str:
    return "failure in …" if isinstance(occurrence, Failure) else lines._NAMES[type(occurrence)]


def test_every_field_is_explained() -> None:
    """And no other one, in the order of the alphabet."""
    used = {field for fields in by_message().values() for field in fields}
    assert column("field", "what it says") == sorted(used)


def test_what_stands_in_every_line_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which it is printed, but for the exception, which comes last."""
    try:
        raise ValueError("no")
    except ValueError:
        made = logging.LogRecord("tidegate", logging.INFO, __file__, 1, "hello", None, sys.exc_info())
    monkeypatch.setattr(lines.Process, "worker", 1)
    request, trace = current_request_id.set("req_1"), current_trace.set(SPAN)
    try:
        printed = list(json.loads(JsonFormatter().format(made)))
    finally:
        current_request_id.reset(request)
        current_trace.reset(trace)
    assert sorted(column("in every line", "what it says")) == sorted(printed)


def test_no_text_names_what_does_not_exist() -> None:
    """Neither a metric nor an attribute, wherever on the page it is named."""
    metrics = {metric.name for metric in METRICS}
    series = re.compile(r"_(?:bucket|count|sum)$")
    found = set(re.findall(r"\btidegate_[a-z_]+", PAGE))
    assert {name for name in found if name not in metrics and series.sub("", name) not in metrics} == set()

    attributes = {*of_request(DONE), *of_generation(ENDED), *of_attempt(ATTEMPT)}
    assert set(re.findall(r"`((?:gen_ai|http|url|client|error|tidegate)\.[a-z_.]+)`", PAGE)) <= attributes
