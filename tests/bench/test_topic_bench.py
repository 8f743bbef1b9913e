from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from go_kit import is_compiled

from tidegate.bench.processes import Server
from tidegate.bench.runs import run
from tidegate.bench.topic import posting
from tidegate.errors import TidegateError

BASELINES = Path(__file__).parent.parent.parent / "bench" / "baselines"
SMALL = {"readers": 8, "rate": 100, "seconds": 0.5, "rounds": 1, "warmup": 0.1}

REFUSAL = b'{"error":{"code":102}}'


@contextmanager
def refusing() -> Generator[Server]:
    """Answers one request as Centrifugo refuses: with 200."""

    def serve() -> None:
        with listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n" + REFUSAL)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Server(0, listening.getsockname()[1])
        thread.join()


def test_a_message_that_is_refused_ends_the_run() -> None:
    """Also where the status says that it was taken."""
    raised = pytest.raises(TidegateError, match=r"answered 200: .*error")
    with refusing() as server, posting("/api/publish", lambda text: {"data": text}, server) as send, raised:
        send(0, "x")


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator is built with cc")
def test_centrifugo_sends_what_is_published_to_every_reader(tmp_path: Path) -> None:
    """It is configured and spoken to as its readers and publishers do."""
    if not is_compiled(BASELINES / "centrifugo", "tool"):
        pytest.skip("compiling Centrifugo takes minutes: run `tidegate bench fanout` once, where Go is")
    shutil.copytree(BASELINES / "centrifugo", tmp_path / "centrifugo")
    table = run("fanout", SMALL, baselines=tmp_path, python=Path(sys.executable))
    assert set(table.rows) == {"tidegate", "tidegate topic", "Centrifugo"}
    assert table.median("Centrifugo", "tokens/s") > 0
