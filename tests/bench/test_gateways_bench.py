from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tidegate.bench import product
from tidegate.bench.gateways import LITELLM, SMG, gateways
from tidegate.bench.processes import listening, load_cpu
from tidegate.bench.programs import Programs
from tidegate.bench.relay import CHAT
from tidegate.bench.runs import run

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / "build" / "baselines" / "bin" / "python"
SMALL = {"readers": 4, "rate": 40, "seconds": 0.1, "rounds": 2, "warmup": 0}

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator is built with cc")

REFUSING = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    while True:
        with listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\\r\\ncontent-length: 0\\r\\n\\r\\n")
"""


def test_the_upstream_says_what_models_it_has(tmp_path: Path) -> None:
    """On every path, since gateways ask on different ones whether it is well."""
    upstream = Programs(tmp_path, tmp_path, Path(sys.executable)).upstream()
    with listening([upstream, "20", "10"], load_cpu()) as server:
        for path in ("/health", "/v1/models"):
            assert product.ask(server, path)["data"] == [{"id": "bench", "object": "model"}]


def test_a_gateway_that_does_not_carry_its_streams_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried again, and the others are measured all the same."""
    package = tmp_path / "packages" / "litellm"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "litellm_proxy.py").write_text(REFUSING)
    path = os.pathsep.join(filter(None, (str(package.parent), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    table = run("relay", SMALL, baselines=tmp_path, python=Path(sys.executable))
    assert all(name.startswith("tidegate") for name in table.rows)
    (note,) = table.notes
    assert note.startswith(f"{LITELLM} did not carry 1 streams: ")


@pytest.mark.parametrize(("name", "package"), [(SMG, "smg"), (LITELLM, "litellm")])
def test_a_gateway_relays_to_every_reader(name: str, package: str, tmp_path: Path) -> None:
    """What it takes is there: a path that says it is ready, and an upstream that it finds well."""
    programs = Programs(tmp_path, ROOT / "bench" / "baselines", PYTHON)
    if not PYTHON.exists() or programs.package(package) is None:
        pytest.skip(f"{package} is not installed in build/baselines")
    started = listening([programs.upstream(), "0", "10"], load_cpu())
    with started as upstream, gateways(programs)[name](upstream.url) as server:
        assert answered(server.port, CHAT).count(b'"content":"@') == 10


def answered(port: int, request: bytes) -> bytes:
    """The whole answer to a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer
