"""OTLP over HTTP in JSON, as a node would send it: every metric of the contract, with made-up values."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import httpx
from telemetry_kit import COUNTERS, GAUGES, HISTOGRAMS

NODE = "node_0123456789abcdef"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STREAM = "gen_4bf92f3577b34da6a3ce929d0e0e4736"
BOUNDS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0)

VALUES: Mapping[str, tuple[str, ...]] = {
    "code": ("", "upstream_timeout", "interrupted", "store_unavailable"),
    "kind": ("prompt", "completion"),
    "limit": ("max_queue", "connections", "requests_per_minute"),
    "model": ("m",),
    "outcome": ("answered", "failed", "cancelled"),
    "route": ("/v1/streams",),
    "state": ("active", "draining"),
    "status": ("completed", "failed", "200", "503"),
    "store": ("redis",),
    "transport": ("sse", "websocket"),
    "upstream": ("far.example:443",),
}


async def send(endpoint: str, count: int) -> None:
    """Sends each metric as it is after `count` occurrences of everything, and a span with a log record.

    Raises `AssertionError`.
    """
    metrics = [*_sums(count), *_histograms(count), *_gauges(count)]
    ids: dict[str, Any] = {"traceId": TRACE, "spanId": SPAN}
    ids["attributes"] = _attributes({"tidegate.stream": STREAM, "stream": STREAM})
    span = {**ids, "name": "GET /", "kind": 2, "startTimeUnixNano": str(_began), "endTimeUnixNano": str(_began + 1)}
    record = {**ids, "body": {"stringValue": "request done"}, "severityNumber": 9, "timeUnixNano": str(_began)}
    async with httpx.AsyncClient() as client:
        for path, resources, scopes, content in (
            ("metrics", "resourceMetrics", "scopeMetrics", {"metrics": metrics}),
            ("traces", "resourceSpans", "scopeSpans", {"spans": [span]}),
            ("logs", "resourceLogs", "scopeLogs", {"logRecords": [record]}),
        ):
            scope = {"scope": {"name": "tidegate"}, **content}
            body = {resources: [{"resource": {"attributes": RESOURCE}, scopes: [scope]}]}
            answer = await client.post(f"{endpoint}/v1/{path}", json=body)
            assert answer.status_code == 200, answer.text
            assert not any(answer.json().get("partialSuccess", {}).values())


_began = time.time_ns()


def _sums(count: int) -> Iterator[dict[str, Any]]:
    for name, labels in COUNTERS.items():
        points = [{**_point(each), "asInt": str(count)} for each in _each(labels)]
        yield {"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}}


def _histograms(count: int) -> Iterator[dict[str, Any]]:
    for name, labels in HISTOGRAMS.items():
        yield {
            "name": name,
            "unit": "s",
            "histogram": {
                "aggregationTemporality": 2,
                "dataPoints": [
                    {
                        **_point(each),
                        "count": str(count),
                        "sum": 0.05 * count,
                        "explicitBounds": BOUNDS,
                        "bucketCounts": [str(count if bound == 0.1 else 0) for bound in (*BOUNDS, None)],
                        "exemplars": [
                            {"timeUnixNano": str(time.time_ns()), "asDouble": 0.05, "traceId": TRACE, "spanId": SPAN}
                        ],
                    }
                    for each in _each(labels)
                ],
            },
        }


def _gauges(count: int) -> Iterator[dict[str, Any]]:
    for name, labels in GAUGES.items():
        yield {"name": name, "gauge": {"dataPoints": [{**_point(each), "asInt": str(count)} for each in _each(labels)]}}


def _each(labels: frozenset[str]) -> Iterator[dict[str, str]]:
    names = sorted(labels)
    for values in product(*(VALUES[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def _point(labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "attributes": _attributes(labels),
        "startTimeUnixNano": str(_began),
        "timeUnixNano": str(time.time_ns()),
    }


def _attributes(of: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in of.items()]


RESOURCE = _attributes({"service.name": "tidegate", "service.version": "0.1.0", "service.instance.id": NODE})
