"""`tidegate streams`, and what the commands of clients have in common."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from cli_kit import Outcome, Run
from scripted_kit import Scripted, head
from terminal_kit import in_terminal

from tidegate.cli import STATUSES
from tidegate.client.terminal.streams import GLANCES
from tidegate.core.fold import Status
from tidegate.testing.process import TIDEGATE, Process, running

CONFIG = """
[[models]]
name = "fast"
provider = "replay"
text = "one two three "
tokens = 6
rate = 0
"""

CERTIFICATE = Path(__file__).parent / "http_client" / "localhost.pem"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    path = tmp_path_factory.mktemp("streams") / "replay.toml"
    path.write_text(CONFIG)
    with running("--config", str(path)) as process:
        for question in ("Why is the sky blue?", "天空为什么\x1b是蓝色的?"):
            httpx.post(process.url + "/v1/streams", json={"model": "fast", "prompt": question}).raise_for_status()
        opened = {"producer": "client", "metadata": {"evil": "\x85\x9b\x7f\u202e"}}
        httpx.post(process.url + "/v1/streams", json=opened).raise_for_status()
        yield process


def ids(server: Process) -> list[str]:
    """Newest first."""
    return [stream["id"] for stream in httpx.get(server.url + "/v1/streams").json()["data"]]


def test_a_program_gets_a_line_for_each_stream(server: Process, tidegate: Run) -> None:
    """Newest first, with tabs, or as the server's own JSON."""
    outcome = tidegate("streams", "--url", server.url)
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    assert (outcome.code, outcome.err) == (0, "")
    assert [row[0] for row in rows] == ids(server)
    assert [row[1:3] + row[4:] for row in rows] == [["running", "client", ""], *[["completed", "fast", "6"]] * 2]
    lines = tidegate("streams", "--url", server.url, "--json").out.split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    objects = [json.loads(line) for line in lines]
    assert objects == httpx.get(server.url + "/v1/streams").json()["data"]


def test_the_newest_are_chosen_by_number_and_status(server: Process, tidegate: Run) -> None:
    """Where there is none it is said; that is no failure."""
    first, *_ = ids(server)
    assert tidegate("streams", "--url", server.url, "--limit", "1").out.startswith(f"{first}\trunning\t")
    assert tidegate("streams", "--url", server.url, "--status", "completed").out.count("\n") == 2
    assert tidegate("streams", "--url", server.url, "--status", "failed") == Outcome(
        0, "", f"tidegate: {server.url} has no streams of yours that are failed\n"
    )


def test_more_than_a_page_is_listed_page_by_page(tidegate: Run) -> None:
    """Each begins where the one before has ended, and no more is asked for than is wanted."""

    def page(*names: str, more: bool) -> bytes:
        body = {"data": [{"id": name, "status": "completed"} for name in names], "has_more": more}
        return head(kind="application/json") + json.dumps(body).encode()

    with Scripted(page("gen_3", "gen_2", more=True), page("gen_1", more=False)) as server:
        outcome = tidegate("streams", "--url", server.url, "--limit", "150", "--json")
    assert outcome.out.count("\n") == 3
    assert [request.split()[1] for request in server.requests] == [
        "/v1/streams?limit=100",
        "/v1/streams?limit=100&before=gen_2",
    ]


def test_somebody_at_a_terminal_sees_what_was_asked(server: Process, tmp_path: Path) -> None:
    """In 80 columns, whatever the question does to a terminal; older ones are told of."""
    command = [*TIDEGATE, "streams", "--url", server.url, "--limit", "2"]
    with in_terminal(command, tmp_path, environ={"NO_COLOR": "1"}) as terminal:
        assert terminal.code() == 0
    lines = terminal.shown.splitlines()
    assert lines[1].endswith("       6 tokens  fast")
    assert lines[2:] == [r"  天空为什么\x1b是蓝色的?", "tidegate: there are older ones: --limit 4 shows more"]
    assert all(len(line) <= 80 for line in lines)


def test_what_was_asked_costs_few_calls(tmp_path: Path) -> None:
    """None where the list says it; else one for each stream, up to a number of them."""
    streams = [
        {"id": f"gen_{n}", "status": "completed", **({"question": "listed"} if n < 9 else {})} for n in range(39)
    ]
    listed = json.dumps({"data": streams, "has_more": False}).encode()
    asked = json.dumps({"question": "asked for"}).encode()
    answers = [head(kind="application/json") + body for body in (listed, *[asked] * GLANCES)]
    with (
        Scripted(*answers) as server,
        in_terminal([*TIDEGATE, "streams", "--limit", "50", "--url", server.url], tmp_path) as terminal,
    ):
        assert terminal.code() == 0
    shown = [line for line in terminal.shown.splitlines() if line.startswith("  ")]
    assert shown == ["  listed"] * 9 + ["  asked for"] * GLANCES
    assert [request.split()[1] for request in server.requests][1:] == [
        f"/v1/streams/gen_{n}" for n in range(9, 9 + GLANCES)
    ]


def test_every_status_can_be_asked_for() -> None:
    """Those of the snapshots."""
    assert get_args(Status) == STATUSES


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (head(401, kind="application/json"), 1, "the server asks for a key: put it into TIDEGATE_API_KEY (401)"),
        (head(403, kind="application/json") + b'{"error":{"message":"no\\u001b"}}', 1, r"no\x1b (403)"),
        (head(kind="text/html") + b"<html>", 1, "the server answered with something else than was asked for: '<html>'"),
    ],
)
def test_a_refusal_is_one_line(tidegate: Run, answer: bytes, code: int, message: str) -> None:
    """With the words of the server, which cannot steer a terminal; 1, as for tail."""
    with Scripted(answer) as server:
        assert tidegate("streams", "--url", server.url) == Outcome(code, "", f"tidegate: {message}\n")


@pytest.mark.parametrize(
    "command",
    [["tail", "gen_1", "--url"], ["chat", "hi", "--url"], ["streams", "--url"], ["serve", "--upstream"]],
)
def test_a_certificate_that_is_not_trusted_ends_a_client(
    tidegate: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Another try would not help; what would is said."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    with Untrusted(tls) as url, open("/dev/null") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        outcome = tidegate(*command, url)
    assert outcome.code == 1
    assert outcome.err.startswith(f"tidegate: {url}")
    assert " does not answer: the TLS handshake failed: self-signed certificate; " in outcome.err
    assert "SSL_CERT_FILE" in outcome.err
    assert outcome.err.count("\n") == 1


class Untrusted:
    """A server of TLS with a certificate that nobody has signed; yields its URL."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(30)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> str:
        self._thread.start()
        return f"https://127.0.0.1:{self._listening.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        connection, _ = self._listening.accept()
        with connection, contextlib.suppress(ssl.SSLError):
            self._tls.wrap_socket(connection, server_side=True)
