"""The product as a contender: the installed command, with its limits turned off."""

from __future__ import annotations

import http.client
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from tidegate.bench.model import Pace, Words
from tidegate.bench.processes import Server, listening, server_cpu
from tidegate.errors import TidegateError

COMMAND = (sys.executable, "-c", "from tidegate.cli import main; main()", "serve", "--port", "0")

NO_HEADERS: Mapping[str, str] = {}

MEMORY = 'url = "memory://"'
SQLITE = 'url = "sqlite:///logs.db"'
"""The store where none is configured, but in the folder of the run."""

QUIET = """
[observability]
log_level = "error"
"""

NO_LIMITS = """
[limits]
requests_per_minute = 0
concurrent_generations = 0
readers_per_principal = 0
connections_per_principal = 0
"""

TICKS = """
[[models]]
name = "ticks"
provider = "python"
target = "tidegate.bench.model:ticks"
"""

BEHIND = """
[[models]]
name = "bench"
provider = "openai"
base_url = "{url}/v1"
"""


@contextmanager
def serving(
    models: str,
    more: str = "",
    *,
    store: str = MEMORY,
    limits: str = NO_LIMITS,
    observability: str = QUIET,
    command: Sequence[str] = COMMAND,
) -> Generator[Server]:
    """Runs `tidegate serve` with these models. `store` is the content of `[store]`."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "tidegate.toml"
        config.write_text(f"[store]\n{store}\n{observability}{limits}{models}{more}")
        with listening([*command, "--config", str(config)], server_cpu(), cwd=Path(folder)) as server:
            yield server


def begin(server: Server, prompt: Pace | Words, token: str = "", *, model: str = "ticks") -> str:
    """Starts a generation that needs no reader, and returns its id. `token` is sent if it is not empty."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    body = {"model": model, "prompt": msgspec.json.encode(prompt).decode(), "background": True}
    return _answer(server, "POST", "/v1/streams", HTTPStatus.ACCEPTED, msgspec.json.encode(body), headers)["id"]


def ask(server: Server, path: str) -> dict[str, Any]:
    """What a GET of a path is answered with, which is JSON. Raises `TidegateError` where it is refused."""
    return _answer(server, "GET", path, HTTPStatus.OK)


def get(path: str, token: str = "") -> bytes:
    """A GET request as bytes for the socket, with the token if it is not empty."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n".encode()


def post(path: str, body: Mapping[str, Any]) -> bytes:
    """A POST request with a JSON body, as bytes for the socket."""
    data = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


def follow(stream: str, token: str = "") -> bytes:
    """The request of a reader of a stream, from its beginning."""
    return get(f"/v1/streams/{stream}/events", token)


def _answer(
    server: Server, method: str, path: str, expected: int, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body or None, dict(headers))
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != expected:
        raise TidegateError(f"{method} {path} answered {response.status}: {answer.decode()}")
    return msgspec.json.decode(answer)
