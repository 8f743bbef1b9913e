"""An OpenTelemetry Collector in a thread of the test, that can be away, out of order, or silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Mood = Literal["well", "away", "out of order", "silent"]

KINDS = {1: "internal", 2: "server", 3: "client"}


class Span(NamedTuple):
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, object]
    error: bool
    seconds: float


class Log(NamedTuple):
    body: str
    trace: str
    span: str
    attributes: Mapping[str, object]
    severity: str
    raw: bytes


class Collector:
    """Answers at `url` unless it is `away`: then its port refuses. `received` are paths and bodies, as they came."""

    def __init__(self, mood: Mood = "well") -> None:
        self.mood: Mood = mood
        self.received: list[tuple[str, bytes]] = []
        self.over = threading.Event()
        # Bound, it is nobody else's; as long as it does not listen, it refuses.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.collector = self
        self._server.socket.close()
        self._server.socket = self._socket
        self._thread: threading.Thread | None = None
        if mood != "away":
            self.come()

    def come(self) -> None:
        """Begins to listen."""
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def raw(self, path: str) -> list[bytes]:
        """The bodies that came to a path."""
        return [body for at, body in list(self.received) if at == path]

    @property
    def spans(self) -> list[Span]:
        found: list[Span] = []
        for body in self.raw("/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found += [_span(each) for scope in resource.scope_spans for each in scope.spans]
        return found

    @property
    def logs(self) -> list[Log]:
        found: list[Log] = []
        for body in self.raw("/v1/logs"):
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                found += [_log(each) for scope in resource.scope_logs for each in scope.log_records]
        return found

    @property
    def resources(self) -> list[dict[str, object]]:
        """Those of all that came."""
        found: list[dict[str, object]] = []
        for path, body in list(self.received):
            kind, field = _KINDS[path]
            found += [_attributes(each.resource.attributes) for each in getattr(kind.FromString(body), field)]
        return found

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The last metrics, in the form of a scrape's samples: of histograms the count, the sum and the buckets."""
        found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        last = ExportMetricsServiceRequest.FromString(self.raw("/v1/metrics")[-1])
        for metric in (each for r in last.resource_metrics for scope in r.scope_metrics for each in scope.metrics):
            kind = metric.WhichOneof("data")
            assert kind == "gauge" or getattr(metric, kind).aggregation_temporality == 2
            for point in getattr(metric, kind).data_points:
                labels = frozenset((key, str(value)) for key, value in _attributes(point.attributes).items())
                if kind != "histogram":
                    found[metric.name, labels] = getattr(point, point.WhichOneof("value"))
                    continue
                found[f"{metric.name}_count", labels] = point.count
                found[f"{metric.name}_sum", labels] = point.sum
                bounds = [*map(str, point.explicit_bounds), "+Inf"]
                for index, bound in enumerate(bounds):
                    place = labels | {("le", bound)}
                    found[f"{metric.name}_bucket", place] = sum(point.bucket_counts[: index + 1])
        return found


@contextmanager
def collecting(mood: Mood = "well") -> Iterator[Collector]:
    collector = Collector(mood)
    try:
        yield collector
    finally:
        collector.close()


_KINDS: dict[str, tuple[Any, str]] = {
    "/v1/traces": (ExportTraceServiceRequest, "resource_spans"),
    "/v1/metrics": (ExportMetricsServiceRequest, "resource_metrics"),
    "/v1/logs": (ExportLogsServiceRequest, "resource_logs"),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["content-length"]))
        if collector.mood == "silent":
            collector.over.wait()
        elif collector.mood == "out of order":
            self._answer(500)
        else:
            collector.received.append((self.path, body))
            self._answer(200)

    def handle(self) -> None:
        # Who has sent it is gone: killed, or tired of waiting. And an idle connection does not hold up the end.
        self.connection.settimeout(10)
        with suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int) -> None:
        self.close_connection = self.server.collector.over.is_set()
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


def _span(span: Any) -> Span:
    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return Span(span.name, KINDS[span.kind], *ids, _attributes(span.attributes), span.status.code == 2, seconds)


def _log(record: Any) -> Log:
    ids = record.trace_id.hex(), record.span_id.hex()
    raw = record.SerializeToString()
    return Log(record.body.string_value, *ids, _attributes(record.attributes), record.severity_text, raw)


def _attributes(pairs: Any) -> dict[str, object]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> object:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
