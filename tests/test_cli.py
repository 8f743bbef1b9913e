from __future__ import annotations

import array
import fcntl
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import termios
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cli_kit import Outcome, Run
from scripted_kit import Scripted, head

from tidegate.client import Client
from tidegate.config import Settings, behind, load, only
from tidegate.errors import ConfigError
from tidegate.providers.settings import LlamaModel, OpenAIModel, ReplayModel
from tidegate.testing.process import TIDEGATE, Process, running

REPLAY = """
[[models]]
name = "fast"
provider = "replay"
text = "one two three "
tokens = 6
rate = 0
[[models]]
name = "slow"
provider = "replay"
text = "word "
tokens = 1000
rate = 20
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    path = tmp_path_factory.mktemp("server") / "replay.toml"
    path.write_text(REPLAY)
    with running("--config", str(path)) as process:
        yield process


def generation(url: str, model: str, *, background: bool = False) -> str:
    """Starts one and, unless it is in the background, waits for its end; its id."""
    answer = httpx.post(url + "/v1/streams", json={"model": model, "prompt": "x", "background": background})
    return answer.json()["id"]


def test_help_lists_the_commands_there_are(tidegate: Run) -> None:
    """Nothing is promised that this version does not have."""
    outcome = tidegate("--help")
    assert outcome.code == 0
    assert re.findall(r"^  ([a-z]+)  ", outcome.out, re.MULTILINE) == [
        "bench",
        "chat",
        "config",
        "doctor",
        "key",
        "serve",
        "streams",
        "tail",
        "token",
    ]


def test_serve_has_the_documented_flags(tidegate: Run) -> None:
    """The contract's flags, no more and no fewer."""
    flags = set(re.findall(r"--[a-z-]+", tidegate("serve", "--help").out))
    expected = {"--host", "--port", "--config", "--model", "--upstream", "--store", "--workers", "--log-level"}
    expected |= {"--insecure-no-auth"}
    assert flags == {*expected, "--help"}


def test_the_version_is_that_of_the_package(tidegate: Run) -> None:
    """`--version` names the program and its version."""
    assert re.fullmatch(r"tidegate \d+\.\d+\.\d+\n", tidegate("--version").out)


def test_help_imports_nothing_heavy() -> None:
    """What only `serve` needs is not paid for by `--help`."""
    script = "import sys; from tidegate.cli import commands; commands.main(['--help'], standalone_mode=False);"
    script += "print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "tidegate.cli" in modules
    assert not {"uvicorn", "starlette", "asyncio", "ssl", "tidegate.config"}.intersection(modules)


def test_config_prints_the_effective_configuration(tidegate: Run) -> None:
    """With the file in the working directory, as TOML."""
    Path("tidegate.toml").write_text("[server]\nport = 9\n[store]\nurl = 'redis://u:hunter2@h/0'")
    shown = tomllib.loads(tidegate("config").out)
    assert shown["server"]["port"] == 9
    assert shown["store"]["url"] == "redis://***@h/0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("config", "--config", "none.toml"), "none.toml: No such file or directory"),
        (("serve", "--config", "bad.toml"), "server.port = 70000 (bad.toml): expected `int` <= 65535"),
        (("serve", "--port", "70000"), "server.port = 70000 (--port): expected `int` <= 65535"),
        (("serve", "--log-level", "loud"), "observability.log_level = 'loud' (--log-level): expected one of debug, "),
        (("serve", "--store", "mysql://h/0"), "store.url = 'mysql://h/0' (--store): expected memory://, sqlite://, "),
        (("serve", "--workers", "0"), "server.workers = 0 (--workers): expected `int` >= 1"),
        (("serve", "--workers", "2"), "server.workers = 2 (--workers): several processes need a store that they can "),
        (("serve", "--host", "0.0.0.0"), "server.host = '0.0.0.0' (--host): it can be reached from other machines"),
        (("serve", "--model", "gpt-9"), "--model gpt-9: there is no model of this name, only smollm2"),
        (("serve", "--upstream", "tide.example/v1"), "--upstream tide.example/v1: expected an http or https URL"),
        (("serve", "--upstream", "http://u:hunter2@h/v1"), "--upstream http://***@h/v1: expected"),
        (
            ("key", "two words"),
            "a key cannot have the name 'two words': expected 1 to 64 letters, digits, dots, underscores and hyphens\n",
        ),
    ],
)
def test_wrong_configuration_is_one_line_and_exit_code_2(
    tidegate: Run, arguments: tuple[str, ...], message: str
) -> None:
    """No traceback: the key, the value, and where it stands."""
    Path("bad.toml").write_text("[server]\nport = 70000")
    outcome = tidegate(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"tidegate: {message}")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


@pytest.mark.parametrize(
    "arguments", [("serve", "--port", "x"), ("serve", "--prt", "1"), ("sreve",), (), ("key", "a", "--scope", "all")]
)
def test_wrong_usage_is_exit_code_2(tidegate: Run, arguments: tuple[str, ...]) -> None:
    """Unknown commands and flags, and values of the wrong type."""
    outcome = tidegate(*arguments)
    assert outcome.code == 2
    assert "Usage: tidegate" in outcome.err


def test_beyond_loopback_it_serves_when_told_that_this_is_meant(tmp_path: Path) -> None:
    """`--insecure-no-auth` is the way to say so."""
    (tmp_path / "tidegate.toml").write_text(REPLAY)
    with running("--host", "0.0.0.0", "--insecure-no-auth", cwd=tmp_path) as server:
        assert httpx.get(server.url + "/healthz").status_code == 200


def test_a_new_key_opens_what_its_lines_are_given_to(tidegate: Run, tmp_path: Path) -> None:
    """The key is shown once, the file gets its hash, and the server knows it by that."""
    out = tidegate("key", "ci").out
    found = re.search(r"^tg_[A-Za-z0-9_-]{43}$", out, re.MULTILINE)
    assert found is not None
    lines = out[out.index("[[auth.keys]]") :]
    path = tmp_path / "keys.toml"
    path.write_text(REPLAY + lines)
    (entry,) = load(path, {}, {}).auth.keys
    assert entry.sha256 == hashlib.sha256(found[0].encode()).hexdigest()
    assert entry.scopes == ("generate", "read", "cancel", "publish", "subscribe")
    with running("--config", str(path)) as server:
        body = {"model": "fast", "prompt": "x"}
        assert httpx.post(server.url + "/v1/streams", json=body).status_code == 401
        headers = {"authorization": f"Bearer {found[0]}"}
        answer = httpx.post(server.url + "/v1/streams", json=body, headers=headers)
        assert answer.status_code == 200
        tail = ["tail", answer.json()["id"], "--url", server.url]
        with_key = subprocess.run(
            [*TIDEGATE, *tail], capture_output=True, text=True, env={"TIDEGATE_API_KEY": found[0]}, check=False
        )
        assert with_key.stdout == "one two three one two three\n"
        without = subprocess.run([*TIDEGATE, *tail], capture_output=True, text=True, env={}, check=False)
        assert without.returncode == 1
        assert "(401)" in without.stderr


def test_no_two_keys_are_alike_and_scopes_are_as_asked(tidegate: Run) -> None:
    """Random keys, with the scopes that were given, each once."""
    outs = [tidegate("key", "ci", "--scope", "read", "--scope", "admin", "--scope", "read").out for _ in range(2)]
    assert outs[0] != outs[1]
    assert 'scopes = ["read", "admin"]' in outs[0]


def test_model_picks_one_of_the_configured_or_the_embedded_or_a_file() -> None:
    """Only that is served; a file is served under its own name."""
    fast = ReplayModel(name="fast", rate=0)
    settings = Settings(models=(fast, ReplayModel(name="b")))
    assert only(settings, "fast").models == (fast,)
    assert only(settings, "smollm2").models == (LlamaModel(name="smollm2"),)
    assert only(settings, "weights/Tiny-Q4.gguf").models == (LlamaModel(name="Tiny-Q4", path="weights/Tiny-Q4.gguf"),)
    with pytest.raises(ConfigError, match="only fast, b, smollm2"):
        only(settings, "c")


def test_model_picks_one_of_the_upstreams() -> None:
    """With `--upstream` the names are the upstream's, whatever they look like."""
    names = ["a", "/models/b.gguf", "a"]
    both = behind(Settings(), "http://x/v1", names, wanted=None, api_key_env="")
    assert [model.name for model in both.models] == ["a", "/models/b.gguf"]
    one = behind(Settings(), "http://x/v1", names, wanted="/models/b.gguf", api_key_env="KEY")
    assert one.models == (OpenAIModel(name="/models/b.gguf", base_url="http://x/v1", api_key_env="KEY"),)
    with pytest.raises(ConfigError, match="only a, "):
        behind(Settings(), "http://x/v1", names, wanted="smollm2", api_key_env="")


def test_upstream_serves_the_models_of_the_server_behind_it(server: Process, tmp_path: Path) -> None:
    """tidegate before tidegate: its models are listed, and its answers come through."""
    with running("--upstream", server.url + "/v1", cwd=tmp_path) as front:
        models = httpx.get(front.url + "/v1/models").json()["data"]
        assert [model["id"] for model in models] == ["fast", "slow"]
        answer = httpx.post(front.url + "/v1/streams", json={"model": "fast", "prompt": "x"})
        assert answer.json()["text"] == "one two three one two three"
    with running("--upstream", server.url + "/v1/", "--model", "fast", cwd=tmp_path) as front:
        models = httpx.get(front.url + "/v1/models").json()["data"]
        assert [model["id"] for model in models] == ["fast"]


def test_an_upstream_that_is_not_there_is_said(tidegate: Run) -> None:
    """Exit code 1 and one line, in words; a place on this machine needs no scheme."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}/v1"
        outcome = tidegate("serve", "--upstream", place)
    assert outcome.code == 1
    assert outcome.err == (
        f"tidegate: http://{place}/models does not answer: the connection was refused; is the server running?\n"
    )


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b"{}", "answered 401"),
        (200, b"<html>", "did not answer with a list of models"),
        (200, b'{"data": []}', "lists no models"),
    ],
)
def test_an_upstream_without_a_list_of_models_is_said(tidegate: Run, status: int, body: bytes, message: str) -> None:
    """Exit code 1 and one line."""
    with Scripted(head(status) + body) as upstream:
        outcome = tidegate("serve", "--upstream", upstream.url)
    assert outcome.code == 1
    assert re.fullmatch(rf"tidegate: {re.escape(upstream.url)}/models {message}[^\n]*\n", outcome.err)


def test_the_upstreams_key_comes_from_the_environment(tidegate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`UPSTREAM_API_KEY` is sent as bearer, already with the first question."""
    monkeypatch.setenv("UPSTREAM_API_KEY", "sk-1\n")
    with Scripted(head(403)) as upstream:
        tidegate("serve", "--upstream", upstream.url)
    assert "authorization: bearer sk-1" in upstream.requests[0].lower()


def test_a_key_that_cannot_be_sent_is_not_shown(tidegate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a line break inside would otherwise stand in the error of the HTTP library."""
    monkeypatch.setenv("TIDEGATE_API_KEY", "tg_one\ntg_two")
    outcome = tidegate("tail", "gen_1", "--url", "http://127.0.0.1:9")
    assert outcome.code == 2
    assert "tg_" not in outcome.err


def test_tail_prints_the_text_of_a_stream(server: Process, tidegate: Run) -> None:
    """On stdout the text and a last newline, nothing else anywhere; 0 when it completed."""
    stream = generation(server.url, "fast")
    assert tidegate("tail", stream, "--url", server.url) == Outcome(0, "one two three one two three\n", "")


def test_tail_begins_after_a_position(server: Process, tidegate: Run) -> None:
    """`--after` is a cursor as events carry it; at the end nothing is left."""
    stream = generation(server.url, "fast")
    cursor = httpx.get(f"{server.url}/v1/streams/{stream}").json()["cursor"]
    assert tidegate("tail", stream, "--url", server.url + "/", "--after", cursor) == Outcome(0, "", "")
    epoch = cursor.partition("-")[0]
    assert tidegate("tail", stream, "--url", server.url, "--after", f"{epoch}-3").out.startswith(" three one")


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [(("gen_none",), 1, 404), (("no room",), 2, 400), (("room", "--after", "nonsense"), 2, 400)],
)
def test_tail_of_what_is_not_there_fails(
    server: Process, tidegate: Run, arguments: tuple[str, ...], code: int, status: int
) -> None:
    """With the server's message; 2 for what can be none."""
    outcome = tidegate("tail", *arguments, "--url", server.url)
    assert outcome.code == code
    assert re.fullmatch(rf"tidegate: .+ \({status}\)\n", outcome.err)


def test_a_name_that_is_empty_is_wrong_usage(tidegate: Run) -> None:
    """A script's variable was, perhaps; no server need be asked."""
    outcome = tidegate("tail", "", "--url", "http://127.0.0.1:9")
    assert outcome == Outcome(2, "", "tidegate: STREAM|TOPIC is empty: give a stream's id, or a topic's name\n")


@pytest.mark.parametrize(("end", "said"), [("fail", "failed: no luck"), ("cancel", "it was cancelled")])
def test_tail_after_the_end_tells_it(server: Process, tidegate: Run, end: str, said: str) -> None:
    """A stream that has not completed is no success, wherever one begins."""
    client = Client(server.url)
    producer = client.produce()
    producer.fail("no luck") if end == "fail" else client.cancel(producer.id)
    producer.close()
    cursor = client.read(producer.id)["cursor"]
    outcome = tidegate("tail", producer.id, "--url", server.url, "--after", cursor)
    assert outcome == Outcome(1, "", f"tidegate: {said}\n")


@pytest.mark.parametrize("command", [("streams",), ("tail", "STREAM"), ("chat", "hi")])
def test_an_output_without_place_is_one_line(server: Process, command: tuple[str, ...]) -> None:
    """And no traceback."""
    arguments = [generation(server.url, "fast") if each == "STREAM" else each for each in command]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*TIDEGATE, *arguments, "--url", server.url],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr.count("Traceback")) == (1, 0)
    assert "tidegate: the output cannot be written: No space left on device\n" in done.stderr


def test_tail_of_a_topic(server: Process) -> None:
    """Each message is a line: a text as it is, all else as JSON; a topic goes on until it is left."""
    for data in ("hello", {"n": [1, None]}):
        published = httpx.post(f"{server.url}/v1/topics/room/messages", json={"data": data})
        assert published.status_code == 200
    with subprocess.Popen(
        [*TIDEGATE, "tail", "room", "--after", "earliest", "--url", server.url], stdout=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        assert [tail.stdout.readline() for _ in range(2)] == [b"hello\n", b'{"n":[1,null]}\n']
        httpx.post(f"{server.url}/v1/topics/room/messages", json={"data": "live", "type": "note"})
        assert tail.stdout.readline() == b"live\n"
        tail.terminate()


def test_a_terminal_that_nobody_reads_does_not_keep_tail(server: Process) -> None:
    """Ctrl-C ends it also while it waits for its own output to be read; what was not written comes after the place
    that it names."""
    made = httpx.post(f"{server.url}/v1/streams", json={"producer": "client"}).json()
    pieces = [str(number) * 10_000 for number in range(10)]
    events = [{"type": "delta", "data": {"text": piece}} for piece in pieces]
    events.append({"type": "completed", "data": {"finish_reason": "stop"}})
    body = {"lease": made["lease"]["token"], "expected_offset": 1, "events": events}
    httpx.post(f"{server.url}/v1/streams/{made['id']}/append", json=body).raise_for_status()
    command = [*TIDEGATE, "tail", made["id"], "--url", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        waiting = array.array("i", [0])
        while waiting[0] <= 60_000:  # Whoever has begun with the seventh waits: a pipe has 64 KiB.
            fcntl.ioctl(tail.stdout.fileno(), termios.FIONREAD, waiting)
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 130
        written = len(tail.stdout.read().rstrip("\n")) // 10_000
        place = tail.stderr.read().split()[-1]
    rest = subprocess.run([*command, "--after", place], capture_output=True, text=True, check=True, timeout=60)
    assert rest.stdout == "".join(pieces[written:]) + "\n"


def test_tail_says_why_a_stream_was_cancelled(server: Process, tidegate: Run) -> None:
    """Exit code 1; what came of the text is on stdout."""
    stream = generation(server.url, "slow", background=True)
    httpx.post(f"{server.url}/v1/streams/{stream}/cancel", json={"reason": "enough"})
    outcome = tidegate("tail", stream, "--url", server.url)
    assert outcome.code == 1
    assert outcome.out.startswith("word")
    assert outcome.err.endswith("tidegate: cancelled by client: enough\n")


def test_tail_prints_as_it_comes_and_ctrl_c_ends_it_quietly(server: Process) -> None:
    """Nothing is kept back in a pipe; 130, with the place to go on from, and the generation is not disturbed."""
    stream = generation(server.url, "slow", background=True)
    tail = subprocess.Popen(
        [*TIDEGATE, "tail", stream, "--url", server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with tail:
        assert tail.stdout is not None
        assert tail.stdout.read(5) == b"word "
        tail.send_signal(signal.SIGINT)
        _, err = tail.communicate(timeout=10)
    assert tail.returncode == 130
    assert re.fullmatch(rb"\n?tidegate: to go on from here: --after [a-z0-9]+-\d+\n", err)
    assert httpx.get(f"{server.url}/v1/streams/{stream}").json()["status"] == "running"


def test_tail_into_a_pipe_that_closes_ends_quietly(server: Process) -> None:
    """`tidegate tail … | head` leaves no traceback."""
    stream = generation(server.url, "slow", background=True)
    tail = subprocess.Popen(
        [*TIDEGATE, "tail", stream, "--url", server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.read(5)
        tail.stdout.close()
        assert tail.wait(10) == 1
        assert tail.stderr.read() == b""


def delta(position: int, text: str) -> bytes:
    return f"id: ab-{position}\nevent: delta\ndata: {json.dumps({'text': text})}\n\n".encode()


END = b'id: ab-9\nevent: completed\ndata: {"finish_reason":"stop"}\n\n'


def test_tail_survives_a_restart_of_the_server(tidegate: Run) -> None:
    """Cut in the middle of an event, then refused, then resumed where it was: the text is whole, and said once."""
    with Scripted(
        head() + b"retry: 10\n\n" + delta(2, "one ") + delta(3, "two ") + b"id: ab-4\nevent: de",
        head(503, retry_after="0"),
        head() + b'event: reconnect\ndata: {"after_ms":0,"reason":"draining"}\n\n',
        head() + delta(4, "three") + END,
    ) as broken:
        outcome = tidegate("tail", "gen_1", "--url", broken.url, "--after", "ab-1")
    assert outcome.code == 0
    assert outcome.out == "one two three\n"
    # What broke is said once for all tries; a server that sends its readers away has not broken anything.
    assert outcome.err.count("not connected, trying until it answers: ") == 1
    assert broken.requests[0].startswith("GET /v1/streams/gen_1/events?after=ab-1 HTTP/1.1\r\n")
    for request in broken.requests[1:]:
        assert request.startswith("GET /v1/streams/gen_1/events?after=ab-3 HTTP/1.1\r\n")


def test_tail_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    """A server that is just being restarted is tried again, without noise on stdout."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        tail = subprocess.Popen(
            [*TIDEGATE, "tail", "gen_1", "--url", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        with tail:
            assert tail.stderr is not None
            assert b"does not answer" in tail.stderr.readline()
            reserved.listen()
            connection, _ = reserved.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head() + delta(2, "here") + END)
            out, _ = tail.communicate(timeout=30)
    assert (tail.returncode, out) == (0, b"here\n")


SNAPSHOT = b'id: cd-6\nevent: snapshot\ndata: {"text":"rest"}\n\n'
FAILED = b'id: cd-7\nevent: failed\ndata: {"error":{"type":"x","code":"interrupted","message":"it stopped"}}\n\n'


def gap(to: str) -> bytes:
    return f'id: {to}\nevent: gap\ndata: {{"from":"ab-1","to":"{to}"}}\n\n'.encode()


LOST = "tidegate: some of it was lost on the way; here is the whole\n"
HOLE = "tidegate: what came before cd-5 is no longer kept\n"


@pytest.mark.parametrize(
    ("after", "answers", "out", "err"),
    [
        ((), (gap("cd-5") + delta(6, "st"), SNAPSHOT + FAILED), "rest\n", ""),
        ((), (delta(2, "re") + gap("cd-5"), SNAPSHOT + FAILED), "rest\n", ""),
        ((), (delta(2, "de") + gap("cd-5"), SNAPSHOT + FAILED), "de\nrest\n", LOST),
        (("--after", "ab-1"), (delta(2, "st") + gap("cd-5"), SNAPSHOT + FAILED), "st\nrest\n", LOST),
        (("--after", "ab-1"), (gap("cd-5"), SNAPSHOT + FAILED), "rest\n", LOST),
        ((), (gap("cd-4"), gap("cd-5") + FAILED), "", HOLE.replace("5", "4") + HOLE),
    ],
)
def test_tail_says_what_is_lost_and_why_it_failed(
    tidegate: Run, after: tuple[str, ...], answers: tuple[bytes, ...], out: str, err: str
) -> None:
    """On stderr, and the text stays clean: where a gap is filled, it is the whole that follows."""
    with Scripted(*(head() + answer for answer in answers)) as upstream:
        outcome = tidegate("tail", "gen_1", "--url", upstream.url, *after)
    assert (outcome.code, outcome.out) == (1, out)
    assert outcome.err.replace("\n\n", "\n") in (
        f"{err}tidegate: failed: it stopped\n",
        f"{err}\ntidegate: failed: it stopped\n",
    )


@pytest.mark.parametrize(
    "answer",
    [
        head(kind="text/html") + b"<html>",
        head() + b"event: delta\ndata: {\n\n",
        head() + b"event: reconnect\ndata: 1\n\n",
    ],
)
def test_tail_of_something_else_than_tidegate_fails(tidegate: Run, answer: bytes) -> None:
    """Exit code 1 and one line, not a traceback and not a wait without end."""
    with Scripted(answer) as upstream:
        outcome = tidegate("tail", "gen_1", "--url", upstream.url)
    assert outcome.code == 1
    assert re.fullmatch(r"tidegate: [^\n]+\n", outcome.err)


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "tide.example:8000", "http://x:y", "http://", "http://u:p@x", "http://x/?a", "localhost:x", "http://é"],
)
def test_tail_of_an_address_that_is_none_fails(tidegate: Run, url: str) -> None:
    """Waiting would not make it one."""
    outcome = tidegate("tail", "gen_1", "--url", url)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "again in" not in outcome.err
