"""One topic with many readers over SSE, to which somebody publishes over HTTP: tidegate and Centrifugo."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from tidegate.bench import product
from tidegate.bench.measure import Contender
from tidegate.bench.options import Bench, Options
from tidegate.bench.processes import Server, answering, free_port, server_cpu
from tidegate.bench.publishing import TOPIC, Send, publishing
from tidegate.errors import TidegateError

JSON = {"content-type": "application/json"}

CENTRIFUGO: Mapping[str, Any] = {
    "log": {"level": "error"},
    "usage_stats": {"disabled": True},
    "health": {"enabled": True},
    "uni_sse": {"enabled": True},
    "http_api": {"insecure": True},
    "client": {"allow_anonymous_connect_without_token": True},
    "channel": {
        "without_namespace": {
            "allow_subscribe_for_client": True,
            "allow_subscribe_for_anonymous": True,
            # What tidegate does for every topic: kept for those who come back, each event with its position.
            "history_size": 1000,
            "history_ttl": "24h",
            "force_recovery": True,
        }
    },
}
"""Centrifugo's configuration, without credentials and without reports to its makers."""

CONNECT = quote(msgspec.json.encode({"subs": {TOPIC: {}}}))


def topics(bench: Bench) -> dict[str, Contender]:
    """The contenders; Centrifugo is one where it can be built."""
    options = bench.options
    contenders: dict[str, Contender] = {"tidegate topic": partial(_tidegate, options)}
    program = bench.programs.baseline("centrifugo")
    if program is not None:
        contenders["Centrifugo"] = partial(_centrifugo, options, program)
    return contenders


@contextmanager
def _tidegate(options: Options) -> Generator[Server]:
    publish = partial(posting, f"/v1/topics/{TOPIC}/messages", lambda text: {"data": {"text": text}})
    with product.serving("") as server, _published(options, server, publish):
        yield replace(server, request=product.get(f"/v1/topics/{TOPIC}/events"))


@contextmanager
def _centrifugo(options: Options, program: list[str | Path]) -> Generator[Server]:
    publish = partial(posting, "/api/publish", lambda text: {"channel": TOPIC, "data": {"text": text}})
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_bytes(msgspec.json.encode({**CENTRIFUGO, "http_server": {"address": "127.0.0.1", "port": port}}))
        command = [*program, "--config", config]
        with answering(command, server_cpu(), port, "/health") as server, _published(options, server, publish):
            yield replace(server, request=product.get(f"/connection/uni_sse?cf_connect={CONNECT}"))


@contextmanager
def _published(options: Options, server: Server, publish: Callable[[Server], Any]) -> Generator[None]:
    with publishing(options, partial(publish, server)) as published:
        yield
    published()


@contextmanager
def posting(path: str, body: Callable[[str], Mapping[str, Any]], server: Server) -> Generator[Send]:
    """Publishes over one connection; `body` is the request's for a text. Raises `TidegateError` for a refusal."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)

    def send(_number: int, text: str) -> None:
        connection.request("POST", path, msgspec.json.encode(body(text)), JSON)
        response = connection.getresponse()
        answer = response.read()
        # Centrifugo says 200 with an error in the body, too.
        if response.status != HTTPStatus.OK or b'"error"' in answer:
            raise TidegateError(f"POST {path} answered {response.status}: {answer.decode()}")

    try:
        yield send
    finally:
        connection.close()
