from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tidegate.bench import product
from tidegate.bench.asking import asking
from tidegate.bench.gate import UNGATED
from tidegate.bench.processes import Server
from tidegate.bench.runs import run
from tidegate.errors import TidegateError

SMALL = {"readers": 5, "rate": 200, "seconds": 0.25, "rounds": 1, "warmup": 0.05}


@contextmanager
def answering(answer: bytes) -> Generator[Server]:
    """Gives the one client it has the same answer, in two pieces, as often as it asks."""

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            while connection.recv(1024):
                connection.sendall(answer[:30])
                connection.sendall(answer[30:])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Server(0, listening.getsockname()[1], product.get("/"))
    thread.join()


def test_small_requests_follow_each_other_on_one_connection() -> None:
    """An answer counts once it is there as a whole."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd") as server, asking(server, 1) as connections:
        assert connections.ask(0.2) > 2


def test_a_request_that_is_refused_ends_the_run() -> None:
    """What it costs to refuse is not what is measured."""
    refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
    raised = pytest.raises(TidegateError, match="401 Unauthorized")
    with answering(refusal) as server, asking(server, 1) as connections, raised:
        connections.ask(0.2)


@pytest.mark.parametrize(("command", "gated"), [(UNGATED, False), (product.COMMAND, True)])
def test_the_server_to_compare_with_has_no_gate(command: tuple[str, ...], gated: bool) -> None:
    """Its answers have no request id and nothing of the limits; those of the product do."""
    limits = "[limits]\nrequests_per_minute = 600\n"
    serving = product.serving(product.TICKS, limits=limits, command=command)
    with serving as server, urlopen(f"{server.url}/v1/models") as answer:
        names = set(answer.headers)
    assert ("x-request-id" in names) == ("x-ratelimit-limit-requests" in names) == gated


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator is built with cc")
def test_the_gate_is_measured_with_every_kind_of_credentials() -> None:
    """Requests and readers are let in with each, or the run would fail; all are compared with the server without it."""
    table = run("gate", SMALL, baselines=Path("bench/baselines"), python=Path(sys.executable))
    without, *gated = table.rows
    assert [row.removeprefix("tidegate, ") for row in gated] == [
        "anonymous",
        "API key",
        "HS256",
        "RS256 by JWKS",
        "EdDSA by JWKS",
    ]
    for row in gated:
        more = table.median(row, "us/request") - table.median(without, "us/request")
        assert table.median(row, "gate us/request") == more
        assert table.median(row, "tokens/s") > 0
