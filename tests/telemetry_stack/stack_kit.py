"""The shipped stack as real processes on loopback: Collector, Jaeger and Prometheus, and a stand-in for Loki."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import yaml
from eventually_kit import eventually
from port_kit import free_port

FILES = Path(__file__).parents[2] / "deploy" / "telemetry"
BIN = Path(os.environ.get("TELEMETRY_BIN") or Path.home() / ".cache" / "tidegate" / "telemetry-bin")

START_SECONDS = 30.0
ARRIVES_SECONDS = 90.0
"""Until what a server has done is seen: its export, the Collector's batch and a scrape come one after the other."""

FEATURES = "exemplar-storage,created-timestamp-zero-ingestion"
"""As compose.yaml has it."""


@dataclass
class Stack:
    """Where the parts are, on loopback."""

    folder: Path
    otlp: str
    jaeger: str
    prometheus: str
    loki: list[tuple[str, str]] = field(default_factory=list)
    """Paths and content types of what was sent to Loki."""

    @property
    def logs(self) -> Iterator[dict[str, Any]]:
        """The log records that the Collector got: attributes, body, `trace_id`, `span_id` and severity."""
        path = self.folder / "logs.json"
        for line in path.read_text().splitlines() if path.exists() else []:
            for resource in json.loads(line).get("resourceLogs", []):
                for scope in resource["scopeLogs"]:
                    yield from map(_record, scope["logRecords"])

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers to this now: a list of series."""
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{self.prometheus}/api/v1/query", data={"query": expression})
        body = answer.json()
        assert body["status"] == "success", (expression, body)
        return body["data"]["result"]

    async def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of the last hour."""
        async with httpx.AsyncClient() as client:
            times = (await client.get(f"{self.prometheus}/api/v1/query", params={"query": "time()"})).json()
            now = float(times["data"]["result"][1])
            asked = {"query": expression, "start": now - 3600, "end": now + 60}
            answer = await client.get(f"{self.prometheus}/api/v1/query_exemplars", params=asked)
        return [each for series in answer.json()["data"] for each in series["exemplars"]]

    async def fires(self, alert: str) -> bool:
        return bool(await self.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}'))

    async def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace, as Jaeger's API has them; none where it does not know it."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.jaeger}/api/traces/{trace_id}")
        if answer.status_code != 200:
            return []
        return [Span.read(each) for trace in answer.json()["data"] for each in trace["spans"]]

    async def traces(self, tags: Mapping[str, str]) -> set[str]:
        """The ids of the traces that have a span with these tags."""
        asked = {"service": "tidegate", "tags": json.dumps(tags), "lookback": "1h", "limit": "20"}
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.jaeger}/api/traces", params=asked)
        return {trace["traceID"] for trace in answer.json()["data"]}


@dataclass(frozen=True)
class Span:
    id: str
    parent: str | None
    name: str
    tags: Mapping[str, Any]

    @classmethod
    def read(cls, span: dict[str, Any]) -> Span:
        parents = [each["spanID"] for each in span["references"] if each["refType"] == "CHILD_OF"]
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        return cls(span["spanID"], parents[0] if parents else None, span["operationName"], tags)


def missing() -> list[str]:
    """The programs that are not there."""
    return [name for name in ("otelcol", "jaeger", "prometheus", "promtool") if not os.access(BIN / name, os.X_OK)]


def checked(*command: str, environ: Mapping[str, str] | None = None) -> str:
    """What a program says, which ends well. Raises `AssertionError`."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environ or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Stack]:
    """Starts the stack, and ends it. Rules are those of alerts.yaml without their `for`."""
    names = ("http", "grpc", "metrics", "health", "own", "jaeger_otlp", "jaeger_http", "jaeger_grpc", "prometheus")
    at = {name: f"127.0.0.1:{free_port()}" for name in names}
    stack = Stack(folder, f"http://{at['http']}", f"http://{at['jaeger_http']}", f"http://{at['prometheus']}")
    with ExitStack() as programs:
        loki = programs.enter_context(_loki(stack.loki))
        environ = {"JAEGER_OTLP": at["jaeger_otlp"], "JAEGER_HTTP": at["jaeger_http"], "JAEGER_GRPC": at["jaeger_grpc"]}
        programs.enter_context(_program(folder, "jaeger", "--config", str(FILES / "jaeger.yaml"), environ=environ))
        environ = {
            "OTLP_HTTP": at["http"],
            "OTLP_GRPC": at["grpc"],
            "METRICS_LISTEN": at["metrics"],
            "HEALTH_LISTEN": at["health"],
            "OWN_METRICS_HOST": "127.0.0.1",
            "OWN_METRICS_PORT": at["own"].rpartition(":")[2],
            "JAEGER_ENDPOINT": at["jaeger_otlp"],
            "LOKI_ENDPOINT": f"{loki}/otlp",
        }
        also = _logs_to_a_file(folder)
        collector = ("--config", str(FILES / "collector.yaml"), "--config", str(also))
        programs.enter_context(_program(folder, "otelcol", *collector, environ=environ))
        config = _scrapes(folder, {"collector:8889": at["metrics"], "collector:8888": at["own"]})
        programs.enter_context(
            _program(
                folder,
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={at['prometheus']}",
                f"--enable-feature={FEATURES}",
            )
        )
        for url in (f"http://{at['health']}/", stack.jaeger, f"{stack.prometheus}/-/ready"):
            await eventually(lambda url=url: _answers(url), within=START_SECONDS)
        yield stack


def _record(record: dict[str, Any]) -> dict[str, Any]:
    attributes = {each["key"]: next(iter(each["value"].values()), None) for each in record.get("attributes", [])}
    return {
        **attributes,
        "body": record.get("body", {}).get("stringValue"),
        "trace_id": record.get("traceId", ""),
        "span_id": record.get("spanId", ""),
        "severity": record.get("severityNumber", 0),
    }


def _logs_to_a_file(folder: Path) -> Path:
    """What is merged into collector.yaml: the logs go into a file, too."""
    path = folder / "also.yaml"
    exporters = ["otlp_http/loki", "file"]
    also = {
        "exporters": {"file": {"path": str(folder / "logs.json"), "flush_interval": "100ms"}},
        "service": {"pipelines": {"logs": {"exporters": exporters}}},
    }
    path.write_text(yaml.safe_dump(also))
    return path


def _scrapes(folder: Path, addresses: Mapping[str, str]) -> Path:
    """A copy of prometheus.yaml with other addresses, that looks each second; and of its rules without `for`."""
    config = yaml.safe_load((FILES / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        for targets in job["static_configs"]:
            targets["targets"] = [addresses[target] for target in targets["targets"]]
    rules = yaml.safe_load((FILES / "alerts.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "alerts.yaml").write_text(yaml.safe_dump(rules))
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def _program(folder: Path, name: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        command = ["setpriv", "--pdeathsig", "KILL", str(BIN / name), *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **(environ or {})})
    with process:
        try:
            yield
        finally:
            process.kill()


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def _loki(seen: list[tuple[str, str]]) -> Iterator[str]:
    """Takes what is sent, as Loki does: 204 without a body."""

    class Loki(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.path, self.headers["content-type"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Loki) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
