"""What strangers write, in the terminal of whoever follows it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from cli_kit import Outcome, Run
from scripted_kit import Scripted, head

from tidegate.testing.process import TIDEGATE

END = b'event: completed\ndata: {"finish_reason":"stop"}\n\n'
EVIL = "\x1b]0;t\x07\r\x08\x9b\x7f\u202e\u2066\u2028"
SHOWN = r"\x1b]0;t\x07\r\x08\x9b\x7f\u202e\u2066\u2028"


@pytest.fixture
def tail(tidegate: Run) -> Run:
    """Runs `tidegate tail` in this process, against a server that answers so."""

    def run(answer: bytes, name: str = "gen_1") -> Outcome:
        with Scripted(answer) as server:
            return tidegate("tail", name, "--url", server.url)

    return run


def event(kind: str, data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def failed(message: object) -> bytes:
    return event("failed", {"error": {"message": message}})


@pytest.mark.parametrize(
    ("answer", "out", "err"),
    [
        (event("delta", {"text": EVIL}) + END, f"{SHOWN}\n", ""),
        (event("delta", {"text": "a\x1b"}) + event("delta", {"text": "[31mb"}) + END, "a\\x1b[31mb\n", ""),
        (event("delta", {"text": "safe\rEVIL"}) + END, "safe\\rEVIL\n", ""),
        (event("delta", {"text": "\ud83d"}) + END, "\\ud83d\n", ""),
        (event("delta", {"text": "\ud83d"}) + event("delta", {"text": "\ude00b"}) + END, "😀b\n", ""),
        (event("delta", {"text": "\ude00"}) + event("delta", {"text": "\ud83d"}) + END, "\\ude00\\ud83d\n", ""),
        (event("delta", {"text": "a\ud83d"}) + failed("b"), "a\\ud83d\n", "tidegate: failed: b\n"),
        (event("delta", {"text": "tab\tline\n日本"}) + END, "tab\tline\n日本\n", ""),
        (event("message", {"data": EVIL, "sender": EVIL, "type": EVIL}) + END, f"{SHOWN}\n", ""),
        (event("message", {"data": {"k\x9b": ["\x9b\u202e"]}}) + END, '{"k\\u009b":["\\u009b\\u202e"]}\n', ""),
        (failed(EVIL), "", f"tidegate: failed: {SHOWN}\n"),
        (failed("one\ntidegate: two"), "", "tidegate: failed: one\\ntidegate: two\n"),
        (event("cancelled", {"by": EVIL, "reason": "\x1bc"}), "", f"tidegate: cancelled by {SHOWN}: \\x1bc\n"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_escapes(tail: Run, answer: bytes, out: str, err: str) -> None:
    """Texts, messages, senders, reasons and errors; in a pipe as in a terminal, and split over events."""
    outcome = tail(head() + answer)
    assert (outcome.out, outcome.err) == (out, err)


@pytest.mark.parametrize(
    "answer",
    [
        head(404, kind="application/json") + json.dumps({"error": {"message": EVIL}}).encode(),
        head(302, location="http://x/\x1b[31m"),
        head(kind="text/html") + EVIL.encode(),
        head() + b"event: \x1b[31m\ndata: {\n\n",
        head() + b"event: reconnect\ndata: \x1b[31m\n\n",
    ],
)
def test_errors_that_quote_a_server_are_one_line_without_control_characters(tail: Run, answer: bytes) -> None:
    """Whatever part of an answer they repeat."""
    outcome = tail(answer)
    assert outcome.code == 1
    assert re.fullmatch(r"tidegate: [^\n]+\n", outcome.err)
    assert outcome.err.rstrip("\n").isprintable()


def test_nothing_raw_reaches_a_real_terminal(tmp_path: Path) -> None:
    """Seen on the other side of a pseudo-terminal."""
    ours, theirs = pty.openpty()
    with Scripted(head() + event("delta", {"text": EVIL}) + failed(EVIL)) as server:
        command = [*TIDEGATE, "tail", "gen_1", "--url", server.url]
        subprocess.run(command, stdout=theirs, stderr=theirs, cwd=tmp_path, check=False, timeout=30)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert SHOWN in shown.decode()
    assert set(shown) & {0x1B, 0x07, 0x08, 0x7F, 0x9B} == set()


def test_a_terminal_that_cannot_show_a_character_is_no_end(tmp_path: Path) -> None:
    """In ASCII an emoji is its escape."""
    with Scripted(head() + event("delta", {"text": "é😀"}) + failed("ü")) as server:
        done = subprocess.run(
            [*TIDEGATE, "tail", "gen_1", "--url", server.url],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
            cwd=tmp_path,
            check=False,
            timeout=30,
        )
    assert done.stdout == b"\\xe9\\U0001f600\n"
    assert done.stderr == b"tidegate: failed: \\xfc\n"


@pytest.mark.parametrize(
    ("answer", "out", "code"),
    [
        (b'event: delta\ndata: {"text":"caf\xe9"}\n\n' + END, "caf\ufffd\n", 0),
        (b'event: delta\ndata: {"text":"a","q":1e999}\n\n' + END, "a\n", 0),
        (b'event: delta\ndata: {"text":"a","p":NaN}\n\n' + END, "", 1),
        (
            b'event: delta\ndata: {"text":null}\n\nevent: delta\ndata: {"text":5}\n\nevent: delta\ndata: []\n\n' + END,
            "",
            0,
        ),
        (b'event: delta\ndata: {"text":"a","deep":' + b"[" * 500 + b"]" * 500 + b"}\n\n" + END, "a\n", 0),
        (b'event: delta\ndata: {"text":"a","deep":' + b"[" * 100_000 + b"\n\n", "", 1),
        (b'event: note\ndata: {"data":[1e999]}\n\n' + END, "[Infinity]\n", 0),
        (b'event: unheard-of\ndata: {"x":1}\n\n' + END, "", 0),
        (b'event: failed\ndata: {"error":"text"}\n\n', "", 1),
        (b"event: failed\ndata: null\n\n", "", 1),
    ],
)
def test_events_are_read_patiently(tail: Run, answer: bytes, out: str, code: int) -> None:
    """Bad bytes, numbers that JSON does not have, other types and deep nesting are no traceback."""
    outcome = tail(head() + answer)
    assert (outcome.code, outcome.out) == (code, out)
    assert "Traceback" not in outcome.err


def test_an_id_of_any_characters_is_sent_back(tidegate: Run) -> None:
    """A server that gives such ids gets them back as UTF-8, and no error of the HTTP library."""
    first = head() + 'retry: 0\nid: 位置-1\nevent: delta\ndata: {"text":"a"}\n\n'.encode()
    with Scripted(first, head() + END) as server:
        outcome = tidegate("tail", "gen_1", "--url", server.url)
    assert f"?after={quote('位置-1')} " in server.requests[1]
    assert outcome.out == "a\n"


def test_a_server_that_is_away_is_told_once_in_words(tmp_path: Path) -> None:
    """Not as a number of the system at each try; a place on this machine needs no scheme."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        with subprocess.Popen(
            [*TIDEGATE, "tail", "gen_1", "--url", place], stderr=subprocess.PIPE, cwd=tmp_path, text=True
        ) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            nobody.listen()
            nobody.settimeout(30)
            connection, _ = nobody.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head() + END)
            rest = process.stderr.read()
            assert process.wait(30) == 0
    assert line == (
        f"tidegate: not connected, trying until it answers: http://{place} does not answer: "
        "the connection was refused; is the server running?\n"
    )
    assert rest == ""


def test_an_address_elsewhere_says_how_to_write_it(tidegate: Run) -> None:
    """Whether its key travels in clear is for the user to say."""
    outcome = tidegate("tail", "gen_1", "--url", "tide.example:8000")
    assert outcome.code == 2
    assert outcome.err.startswith("tidegate: --url tide.example:8000: expected http://HOST:PORT or https://")


@pytest.mark.parametrize("variable", ["UPSTREAM_API_KEY", "TIDEGATE_API_KEY"])
def test_a_key_that_cannot_be_sent_names_its_variable(
    tidegate: Run, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not its value: exit code 2, in one line."""
    monkeypatch.setenv(variable, "hunter2\u201d")
    place = ["--upstream", "http://127.0.0.1:9"] if variable == "UPSTREAM_API_KEY" else ["gen_1"]
    code, _, err = tidegate("serve" if "--upstream" in place else "tail", *place)
    assert code == 2
    assert err.startswith(f"tidegate: the key in {variable} cannot stand in a header")
    assert "hunter2" not in err
    assert err.count("\n") == 1
