"""`tidegate chat` as somebody at a terminal sees it, and as a script does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cable import Cable, laid
from cli_kit import Run
from eventually_kit import eventually
from restart_kit import Restartable
from scripted_kit import Scripted, head
from terminal_kit import CTRL_C, CTRL_D, UP, Terminal, in_terminal

from tidegate.testing.process import TIDEGATE

CONFIG = """
[store]
url = "sqlite:///chat.db"
[limits]
requests_per_minute = 0
[[models]]
name = "slow"
provider = "replay"
text = "word "
tokens = 1000
rate = 20
max_concurrency = 1
[[models]]
name = "echo"
provider = "python"
target = "agents:answer"
"""

AGENTS = """
from tidegate.core.events import Reasoning, ToolCall

async def answer(request):
    yield Reasoning("so he asks")
    yield ToolCall(index=0, id="a", name="look", arguments="{}")
    yield " / ".join(f"{message.role}: {message.text}" for message in request.messages)
    if "evil" in request.messages[-1].text:
        yield "\\x1b]0;title\\x07\\x9b31m"
"""


@contextmanager
def served(folder: Path) -> Generator[Restartable]:
    (folder / "agents.py").write_text(AGENTS)
    with Restartable(folder, CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    with served(tmp_path_factory.mktemp("chat")) as server:
        yield server


@contextmanager
def chatting(server: Restartable, folder: Path, model: str, *arguments: str, **environ: str) -> Generator[Terminal]:
    command = [*TIDEGATE, "chat", "--url", server.url, "--model", model, *arguments]
    with in_terminal(command, folder, environ=environ) as terminal:
        yield terminal


def newest(server: Restartable) -> dict[str, object]:
    """The last stream, as the server tells it."""
    stream = httpx.get(f"{server.url}/v1/streams?limit=1").json()["data"][0]
    return httpx.get(f"{server.url}/v1/streams/{stream['id']}").json()


def is_cancelled(server: Restartable, question: str) -> bool:
    told = newest(server)
    return (told["question"], told["status"]) == (question, "cancelled")


def test_what_was_said_goes_along_until_a_new_conversation(server: Restartable, tmp_path: Path) -> None:
    """Chinese too; lines are edited and found again; the thinking is dim, and a tool's call is a line."""
    with chatting(server, tmp_path, "echo") as terminal:
        terminal.ask("你好x\x7f")
        assert "\x1b[2mso he asks\x1b[0m" in terminal.expect("tidegate: the model calls look({})")
        terminal.expect("\nuser: 你好\r\n")
        terminal.ask("and?")
        terminal.expect("\nuser: 你好 / assistant: user: 你好 / user: and?\r\n")
        terminal.ask("/new")
        terminal.ask(UP + UP)
        terminal.expect("\nuser: and?\r\n")
        terminal.expect("> ")
        terminal.type(CTRL_D)
        assert terminal.code() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(server: Restartable, tmp_path: Path) -> None:
    """The server has cancelled it, what came stays in the conversation, and at an empty prompt Ctrl-C is the end."""
    with chatting(server, tmp_path, "slow") as terminal:
        terminal.ask("go on")
        terminal.expect("word word")
        terminal.type(CTRL_C)
        terminal.expect("the answer was stopped")
        stopped = newest(server)
        assert stopped["status"] == "cancelled"
        terminal.ask("/model echo")
        terminal.ask("and?")
        terminal.expect(f"user: go on / assistant: {stopped['text']} / user: and?\r\n")
        terminal.expect("> ")
        terminal.type("half a question")
        terminal.expect("half a question")
        terminal.type(CTRL_C)
        terminal.expect("> ")
        terminal.type(CTRL_C)
        assert terminal.code() == 130


@contextmanager
def stopping_unheard(server: Restartable, folder: Path, question: str) -> Generator[tuple[Terminal, Cable]]:
    """A conversation in which a first Ctrl-C follows a question, of which the line has brought nothing back."""
    with laid(server.url) as cable:
        command = [*TIDEGATE, "chat", "--url", cable.url, "--model", "slow"]
        with in_terminal(command, folder) as terminal:
            terminal.expect("> ")
            cable.hold()
            before = cable.connections
            terminal.type(f"{question}\r")
            asyncio.run(eventually(lambda: cable.connections > before, within=30))
            terminal.type(CTRL_C)
            terminal.expect("stopping")
            yield terminal, cable


def test_ctrl_c_before_the_answer_has_a_name_stops_it_too(server: Restartable, tmp_path: Path) -> None:
    """It is cancelled as soon as the server has said which it is, and not left to run on."""
    with stopping_unheard(server, tmp_path, "before") as (terminal, cable):
        cable.mend()
        terminal.expect("the answer was stopped")
        assert (newest(server)["question"], newest(server)["status"]) == ("before", "cancelled")
        terminal.expect("> ")
        terminal.type(CTRL_D)
        assert terminal.code() == 0


@pytest.mark.parametrize("leaves", [False, True])
def test_an_answer_that_is_left_before_it_has_a_name_is_cancelled(
    server: Restartable, tmp_path: Path, leaves: bool
) -> None:
    """Nobody waits for it at the prompt, and who ends the program then waits for a moment only."""
    question = f"left, {leaves}"
    with stopping_unheard(server, tmp_path, question) as (terminal, cable):
        before = cable.connections
        terminal.type(CTRL_C)
        terminal.expect("tidegate: left; what has come of the answer stays in the conversation")
        terminal.expect("> ")
        if leaves:
            terminal.type(CTRL_D)
            terminal.expect("\n")
        asyncio.run(eventually(lambda: cable.connections > before, within=30))
        cable.mend()
        asyncio.run(eventually(lambda: is_cancelled(server, question), within=30))
        terminal.type("" if leaves else CTRL_D)
        assert terminal.code() == 0


@pytest.mark.parametrize(
    ("hears", "said"), [(True, "the answer was stopped"), (False, "left; the server may go on with the answer")]
)
def test_who_does_not_wait_for_an_end_leaves_at_once(
    server: Restartable, tmp_path: Path, hears: bool, said: str
) -> None:
    """After a moment in which the server may still hear of it, and with the truth."""
    with laid(server.url) as cable, in_terminal([*TIDEGATE, "chat", "x", "--url", cable.url], tmp_path) as terminal:
        terminal.expect("word")
        cable.hold()
        terminal.type(CTRL_C)
        terminal.expect("stopping")
        before = cable.connections
        terminal.type(CTRL_C)
        asyncio.run(eventually(lambda: cable.connections > before, within=30))
        if hears:
            cable.mend()
        terminal.expect(f"tidegate: {said}")
        assert terminal.code() == 130
    httpx.post(f"{server.url}/v1/streams/{newest(server)['id']}/cancel")


def test_an_answer_that_nobody_can_be_shown_is_cancelled(server: Restartable, tmp_path: Path) -> None:
    """`tidegate chat … | head -1` is content with the beginning."""
    question = "a line, and no more"
    command = [*TIDEGATE, "chat", question, "--url", server.url]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as chat:
        assert chat.stdout is not None
        assert chat.stderr is not None
        chat.stdout.read1(5)
        chat.stdout.close()
        assert (chat.wait(60), chat.stderr.read()) == (1, b"")
    asyncio.run(eventually(lambda: is_cancelled(server, question), within=30))


def test_a_server_that_is_killed_is_waited_for(tmp_path: Path) -> None:
    """The answer ends truthfully once it is back, and the conversation goes on; one note came and went."""
    with served(tmp_path) as server, chatting(server, tmp_path, "slow") as terminal:
        terminal.ask("go on")
        terminal.expect("word word")
        server.kill()
        terminal.expect("not connected, again in ")
        server.start()
        terminal.expect("tidegate: the server stopped in the middle of the answer")
        told = newest(server)
        assert told["status"] == "failed"
        assert "".join(told["text"].split()) == "word" * terminal.shown.count("word")
        terminal.ask("/model echo")
        terminal.ask("and?")
        terminal.expect(f"user: go on / assistant: {told['text']} / user: and?\r\n")
        terminal.expect("> ")
        terminal.type(CTRL_D)
        assert terminal.code() == 0


def test_who_waits_sees_the_place_in_the_queue(server: Restartable, tmp_path: Path) -> None:
    """And may leave it."""
    body = {"model": "slow", "prompt": "x", "background": True}
    first = httpx.post(f"{server.url}/v1/streams", json=body).json()["id"]
    with chatting(server, tmp_path, "slow", "go on", NO_COLOR="1") as terminal:
        terminal.expect("waiting for slow, place 1 in its queue, ")
        terminal.type(CTRL_C)
        assert terminal.code() == 130
    assert newest(server)["status"] == "cancelled"
    httpx.post(f"{server.url}/v1/streams/{first}/cancel")


def test_what_a_model_writes_cannot_steer_the_terminal(server: Restartable, tmp_path: Path) -> None:
    """Without colours there is no escape at all, and no thinking is hidden by it."""
    with chatting(server, tmp_path, "echo", "evil", NO_COLOR="1") as terminal:
        terminal.expect(r"user: evil\x1b]0;title\x07\x9b31m")
        assert terminal.code() == 0
    assert terminal.shown.startswith("so he asks\r\n")
    assert not {"\x1b", "\x07", "\x9b"}.intersection(terminal.shown)


def test_a_script_gets_the_answer_and_nothing_else(server: Restartable, tmp_path: Path) -> None:
    """A question from the command line, from a pipe, or from both; 0 when it has completed."""
    for prompt, piped, question in (
        ("", b"what?\n", "what?"),
        ("what?", b"", "what?"),
        ("what", b"this", "what\n\nthis"),
    ):
        command = [*TIDEGATE, "chat", "--url", server.url, "--model", "echo", *([prompt] if prompt else [])]
        done = subprocess.run(command, input=piped, capture_output=True, cwd=tmp_path, check=False, timeout=60)
        assert (done.returncode, done.stdout.decode()) == (0, f"user: {question}\n")
        assert done.stderr == b"tidegate: the model calls look({})\n"


def test_a_program_without_a_stdin_may_ask(server: Restartable, tmp_path: Path) -> None:
    """As a job of cron may be started."""
    command = ["sh", "-c", 'exec "$@" <&-', "-", *TIDEGATE, "chat", "hi", "--url", server.url, "--model", "echo"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"user: hi\n")


def test_a_script_that_is_interrupted_stops_the_answer(server: Restartable, tmp_path: Path) -> None:
    """130, with what there is of it."""
    command = [*TIDEGATE, "chat", "go on", "--url", server.url]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as chat:
        assert chat.stdout is not None
        begun = chat.stdout.read1(5)
        chat.send_signal(signal.SIGINT)
        out, err = chat.communicate(timeout=60)
    assert (chat.returncode, err) == (130, b"tidegate: the answer was stopped\n")
    stopped = newest(server)
    assert (stopped["status"], (begun + out).decode()) == ("cancelled", f"{stopped['text']}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("hi", "--model", "gpt-9"), 2, "--model gpt-9: URL has no model of this name, only slow, echo"),
        ((), 2, "there is no question: give one as PROMPT, or through a pipe"),
        (("hi", "--url", "tide.example"), 2, "--url tide.example: expected http://HOST:PORT or https://HOST, "),
        (("hi", "--url", "127.0.0.1:9"), 1, "http://127.0.0.1:9 does not answer: the connection was refused; is the "),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    server: Restartable,
    tidegate: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    """At once, and not after the tries of somebody who waits for an answer."""
    with open("/dev/null") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        outcome = tidegate("chat", *arguments, *(() if "--url" in arguments else ("--url", server.url)))
    assert outcome.code == code
    assert outcome.err.startswith(f"tidegate: {message.replace('URL', server.url)}")
    assert outcome.err.count("\n") == 1


def test_an_answer_that_the_server_has_forgotten_is_told(tidegate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps its logs in memory has lost them when it is back; what came of the answer is kept."""
    models = head(kind="application/json") + b'{"data":[{"id":"m"}]}'
    begun = head(tidegate_stream="gen_1") + b'id: a-2\nevent: delta\ndata: {"text":"half"}\n\n'
    lost = head(404, kind="application/json") + b'{"error":{"code":"stream_not_found","message":"there is no stream"}}'
    with Scripted(models, begun, lost) as server, open("/dev/null") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        outcome = tidegate("chat", "hi", "--url", server.url)
    assert (outcome.code, outcome.out) == (1, "half\n")
    assert "tidegate: the server has forgotten the answer: " in outcome.err
