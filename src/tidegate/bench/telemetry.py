"""What it costs to send traces, metrics and logs: fan-out and relay, with a Collector and without."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tidegate.bench import product
from tidegate.bench.fanout import lasting, one_stream
from tidegate.bench.measure import Contender, in_turn, steady
from tidegate.bench.options import Bench
from tidegate.bench.relay import CHAT, native, one_each
from tidegate.bench.report import Table

OFF, ON = "off", "on"


def telemetry(bench: Bench) -> Table:
    """CPU per token with telemetry off and on, of one stream for all readers, and of one for each."""
    options = bench.options
    title = f"Telemetry: {options.readers} readers at {options.rate:g} tokens/s"
    columns = {"us/token": 2, "KB/reader": 1, "p50 ms": 2, "p99 ms": 2}
    with collecting() as endpoint:
        return in_turn(Table(title, columns), _contenders(bench, endpoint), options.rounds, partial(steady, bench))


def _contenders(bench: Bench, endpoint: str) -> Mapping[str, Contender]:
    found: dict[str, Contender] = {}
    for name, seen in ((OFF, product.QUIET), (ON, f'{product.QUIET}otlp_endpoint = "{endpoint}"\n')):
        found[f"fan-out, {name}"] = partial(one_stream, lasting(bench.options), observability=seen)
        found[f"relay /v1/streams, {name}"] = partial(one_each, bench, native({}), observability=seen)
        found[f"relay /v1/chat/completions, {name}"] = partial(one_each, bench, CHAT, observability=seen)
    return found


@contextmanager
def collecting() -> Generator[str]:
    """A Collector that takes everything and keeps nothing; its URL."""
    server = _Collector(("127.0.0.1", 0), _Sink)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Collector(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Servers that are ended reset their connections."""


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(HTTPStatus.OK)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
