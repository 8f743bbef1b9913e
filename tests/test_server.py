from __future__ import annotations

import asyncio
import re
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest
from eventually_kit import eventually

from tidegate.config import ServerSettings, Settings
from tidegate.errors import TidegateError
from tidegate.listening import bind
from tidegate.server import listen, started
from tidegate.testing.echo import Echo
from tidegate.testing.process import TIDEGATE, Process, running

REPLAY = """
[[models]]
name = "fast"
provider = "replay"
text = "all of the words "
tokens = 20
rate = 20
[[models]]
name = "slow"
provider = "replay"
text = "word "
tokens = 10000
rate = 20
"""

STAND_IN = """
import asyncio, sys
from tidegate.config import ServerSettings, Settings
from tidegate.observe.logging import LoggingObserver
from tidegate.server import serve

start, drain, close = map(float, sys.argv[1:])

class App:
    observer = LoggingObserver()

    async def __call__(self, scope, receive, send):
        print("asked", flush=True)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def start(self):
        print("starting", flush=True)
        await asyncio.sleep(start)

    async def drain(self):
        print("draining", flush=True)
        await asyncio.sleep(drain)

    async def close(self):
        print("closing", flush=True)
        await asyncio.sleep(close)
        print("closed", flush=True)

    async def flush(self): ...

sys.exit(asyncio.run(serve(App(), Settings(server=ServerSettings(port=0)))))
"""


@pytest.fixture
def replay(tmp_path: Path) -> Path:
    path = tmp_path / "replay.toml"
    path.write_text(REPLAY)
    return path


def stand_in(start: float = 0, drain: float = 0, close: float = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", STAND_IN, str(start), str(drain), str(close))


def printed(server: Process) -> str:
    """The ready line of a stand-in, which says before that it starts."""
    assert server.ready == "starting"
    return server.line()


def test_the_ready_line_names_the_page_and_comes_when_it_can_be_asked(replay: Path) -> None:
    """One line on stdout, with the real port; who has read it is answered."""
    with running("--config", str(replay)) as server:
        where = r"\(logs in .*/tidegate/tidegate\.db\)"
        assert re.fullmatch(rf"tidegate: chat at http://127\.0\.0\.1:\d+/ {where}", server.ready)
        assert httpx.get(server.url + "/readyz").status_code == 200
        server.signal()
        assert server.line() == ""
        assert server.wait() == 0


def test_the_ready_line_follows_the_public_url(replay: Path) -> None:
    """Behind a proxy the page is where people see it; the proxy is told where to find the server."""
    with running("--config", str(replay), environ={"TIDEGATE_SERVER__PUBLIC_URL": "https://x.example/llm/"}) as server:
        found = re.match(
            r"tidegate: chat at https://x\.example/llm/ \(listening on (http://127\.0\.0\.1:\d+), logs in ",
            server.ready,
        )
        assert found is not None
        assert httpx.get(found[1] + "/readyz").status_code == 200


def test_a_port_in_use_is_said_in_one_line(replay: Path) -> None:
    """Exit code 1, no traceback, and the running server is not disturbed."""
    with running("--config", str(replay)) as first:
        port = first.url.rpartition(":")[2]
        with running("--config", str(replay), "--port", port) as second:
            assert second.wait() == 1
            assert second.ready == ""
            assert second.stderr() == (
                f"tidegate: server.port = {port} (--port): port {port} on 127.0.0.1 is in use: stop the other server, "
                "or choose another by --port\n"
            )
        assert httpx.get(first.url + "/readyz").status_code == 200


def test_sigterm_lets_answers_finish_and_takes_no_new_ones(replay: Path) -> None:
    """A running generation is read to its end, a new one is refused with 503, then the process ends with 0."""
    with running("--config", str(replay)) as server, httpx.Client(base_url=server.url) as client:
        body = {"model": "fast", "prompt": "x", "stream": True}
        with client.stream("POST", "/v1/streams", json=body) as answer:
            lines = answer.iter_lines()
            assert any(line == "event: delta" for line in lines)
            server.signal()
            refused = _until_refused(server.url)
            assert refused.json()["error"]["code"] == "draining"
            assert refused.headers["connection"] == "close", "the next request may reach another server"
            rest = list(lines)
        assert rest.count("event: delta") == 19
        assert rest.count("event: completed") == 1
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()


def _until_refused(url: str) -> httpx.Response:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = httpx.post(url + "/v1/streams", json={"model": "fast", "prompt": "x", "background": True})
        if answer.status_code == 503:
            return answer
    raise AssertionError("never refused")


def test_an_idle_reader_of_a_topic_does_not_delay_the_exit(replay: Path) -> None:
    """It is told to come back at once: there is no end that it could wait for."""
    with (
        running("--config", str(replay), environ={"TIDEGATE_SERVER__DRAIN_SECONDS": "3600"}) as server,
        httpx.stream("GET", server.url + "/v1/topics/room/events", timeout=20) as reader,
    ):
        lines = reader.iter_lines()
        assert any(line == "event: subscribed" for line in lines)
        server.signal()
        assert any(line == "event: reconnect" for line in lines)
        list(lines)
        assert server.wait() == 0


def test_after_drain_seconds_what_is_left_ends_as_interrupted(replay: Path) -> None:
    """A generation that takes too long ends `failed` with `interrupted`, said to its reader."""
    environ = {"TIDEGATE_SERVER__DRAIN_SECONDS": "0.2"}
    body = {"model": "slow", "prompt": "x", "stream": True}
    with (
        running("--config", str(replay), environ=environ) as server,
        httpx.stream("POST", server.url + "/v1/streams", json=body) as answer,
    ):
        lines = answer.iter_lines()
        assert any(line == "event: delta" for line in lines)
        server.signal(signal.SIGINT)
        assert '"code":"interrupted"' in "\n".join(lines)
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()


def test_a_second_signal_stops_at_once(replay: Path) -> None:
    """Who does not want to wait for answers presses Ctrl-C again: exit code 1, no traceback."""
    body = {"model": "slow", "prompt": "x", "stream": True}
    with (
        running("--config", str(replay)) as server,
        httpx.stream("POST", server.url + "/v1/streams", json=body) as answer,
    ):
        assert any(line == "event: delta" for line in answer.iter_lines())
        server.signal(signal.SIGINT)
        _until_refused(server.url)
        asked = time.monotonic()
        server.signal(signal.SIGINT)
        assert server.wait() == 1
        assert time.monotonic() - asked < 5
        assert "Traceback" not in server.stderr()


def test_a_reader_that_does_not_read_does_not_keep_the_process(replay: Path) -> None:
    """What a client leaves unread is dropped some seconds after the drain."""
    environ = {"TIDEGATE_MODELS__0__RATE": "0", "TIDEGATE_MODELS__0__TOKENS": "1000000"}
    with running("--config", str(replay), environ=environ) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        body = b'{"model": "fast", "prompt": "x", "stream": true}'
        head = b"POST /v1/streams HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d"
        client.sendall(head % len(body) + b"\r\n\r\n" + body)
        assert client.recv(16).startswith(b"HTTP/1.1 200")
        server.signal()
        assert server.wait() == 0


def test_nobody_is_let_in_before_it_has_started() -> None:
    """Ready means ready: until the model is there, connections are refused, not kept waiting."""
    with running(command=stand_in(start=3600)) as server:
        assert server.ready == "starting"
        listening = Path(f"/proc/{server.pid}/net/tcp").read_text()
        sockets = {link.readlink().name for link in Path(f"/proc/{server.pid}/fd").iterdir() if link.is_symlink()}
        inodes = {name[8:-1] for name in sockets if name.startswith("socket:[")}
        states = {line.split()[9]: line.split()[3] for line in listening.splitlines()[1:]}
        assert "0A" not in {states[inode] for inode in inodes & states.keys()}


def test_a_signal_while_it_starts_stops_it() -> None:
    """What has been started is closed, so that no child is left behind; that is no failure."""
    with running(command=stand_in(start=3600)) as server:
        assert server.ready == "starting"
        server.signal()
        assert [server.line(), server.line(), server.line()] == ["closing", "closed", ""]
        assert server.wait() == 0


def test_it_still_answers_while_it_drains() -> None:
    """Readers are served until the last generation has ended."""
    with running(command=stand_in(drain=3600)) as server:
        url = printed(server).split()[3]
        server.signal()
        assert server.line() == "draining"
        assert httpx.get(url).status_code == 200
        server.signal()
        assert [server.line() for _ in range(4)] == ["asked", "closing", "closed", ""]
        assert server.wait() == 1


def test_a_server_in_the_background_drains_at_sigint(replay: Path) -> None:
    """A shell has what it starts with `&` ignore SIGINT, which does not count for a server."""
    background = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with running("--config", str(replay), command=(*background, *TIDEGATE, "serve", "--port", "0")) as server:
        assert server.ready, server.stderr()
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "draining" in server.stderr()


def test_a_third_signal_ends_even_a_close_that_hangs() -> None:
    """After two, signals have their usual effect again."""
    with running(command=stand_in(drain=3600, close=3600)) as server:
        printed(server)
        server.signal()
        assert server.line() == "draining"
        server.signal()
        assert server.line() == "closing"
        server.signal()
        assert server.wait(within=4) == -signal.SIGTERM


HANGS = {
    "the loop": "async def start(self): print('starting', flush=True); time.sleep(3600)",
    "the log": "async def start(self): print('starting', flush=True); fill()",
    "a task": "async def start(self): print('starting', flush=True); tasks.append(asyncio.create_task(cling()))",
    "a thread": "async def start(self): print('starting', flush=True); threading.Thread(target=wait).start()",
    "C at exit": "async def start(self): print('starting', flush=True); atexit.register(regex_for_ever)",
}
"""Ways of an application to hold up the end of its process."""

HANGING = """
import asyncio, atexit, os, re, sys, threading, time
from tidegate import server, stopping
from tidegate.config import ServerSettings, Settings
from tidegate.observe.logging import LoggingObserver, configure

tasks, (_, full) = [], os.pipe()
stopping.LAST_SECONDS, stopping.AT_ONCE_SECONDS = 0.7, 0.3
configure("info", "text")

async def cling():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("clung", flush=True)

def fill():
    os.write(full, b"x" * 65536)
    os.write(full, b"x")

def wait():
    time.sleep(3600)

def regex_for_ever():
    re.match("(a|a)*b", "a" * 60)

class App:
    observer = LoggingObserver()
    HANG
    async def drain(self): ...
    async def close(self): ...
    async def flush(self): ...

sys.exit(asyncio.run(server.serve(App(), Settings(server=ServerSettings(port=0, drain_seconds=0)))))
"""


@pytest.mark.parametrize("hang", HANGS)
def test_nothing_holds_up_the_end_of_the_process(hang: str) -> None:
    """SIGTERM ends it in the time that was promised, whatever hangs in it; where it can it says what that was."""
    with running(command=(sys.executable, "-c", HANGING.replace("HANG", HANGS[hang]))) as server:
        assert server.ready == "starting"
        if hang not in ("the loop", "the log"):
            assert server.line().startswith("tidegate: chat at")
        asked = time.monotonic()
        server.signal()
        code = server.wait(within=4)
        assert time.monotonic() - asked < 3
        if hang == "C at exit":
            assert code == -signal.SIGALRM
        else:
            assert code == 1
            assert "did not end in time" in server.stderr()
        if hang == "the loop":
            assert "time.sleep(3600)" in server.stderr() or "in start" in server.stderr()


def test_a_second_signal_ends_even_a_loop_that_hangs() -> None:
    """At once means at once."""
    script = HANGING.replace("HANG", HANGS["the loop"]).replace("= 0.7, 0.3", "= 3600, 0.3")
    with running(command=(sys.executable, "-c", script)) as server:
        assert server.ready == "starting"
        server.signal()
        # Two at once would be one (signal(7)).
        asyncio.run(eventually(lambda: not is_pending(server, signal.SIGTERM)))
        server.signal()
        assert server.wait(within=4) == 1


def is_pending(server: Process, which: signal.Signals) -> bool:
    """Whether the signal has been sent and has not arrived (proc(5))."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    masks = re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)$", status, re.MULTILINE)
    return any(int(mask, 16) >> (which - 1) & 1 for mask in masks)


def test_the_descriptor_limit_is_raised_and_a_low_one_is_said(replay: Path) -> None:
    """A soft limit is raised to the hard one; where that is under 20,000 the log says so."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this machine allows fewer files than the test wants to")
    script = (
        "import resource, sys; from tidegate.cli import main; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096));"
        "main()"
    )
    with running("--config", str(replay), command=(sys.executable, "-c", script, "serve", "--port", "0")) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        assert re.search(r"Max open files\s+4096\s+4096", limits)
        assert "this process may open only 4096 files" in server.stderr()


@pytest.mark.anyio
async def test_a_second_server_that_bound_the_port_at_the_same_moment_fails_clearly() -> None:
    """Between binding and listening another may have won; that is the same one-line error."""

    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        settings = Settings(server=ServerSettings(port=port))
        server = await started(Echo(), settings)
        with pytest.raises(TidegateError, match="in use"):
            await listen(server, settings, 0, sockets)
    for each in sockets:
        each.close()


def test_a_python_model_is_found_beside_its_configuration(tmp_path: Path) -> None:
    """The installed command, which has no script's folder to import from, imports from where it is run."""
    (tmp_path / "my_agents.py").write_text("async def answer(request):\n    yield 'hello'\n")
    (tmp_path / "tidegate.toml").write_text(
        '[[models]]\nname = "agent"\nprovider = "python"\ntarget = "my_agents:answer"\n'
    )
    installed = Path(sys.executable).with_name("tidegate")
    with running(command=(str(installed), "serve", "--port", "0"), cwd=tmp_path) as server:
        assert server.ready, server.stderr()


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", b"200"), ("/v1/streams/gen_1/events", b"404"), ("/v1/ws", b"101")]
)
def test_only_the_path_of_websockets_hears_an_upgrade(replay: Path, path: str, status: bytes) -> None:
    """Elsewhere a proxy, or a client that always asks for one, is answered as anybody else (RFC 9110, 7.8)."""
    with running("--config", str(replay)) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(
                f"GET http://localhost{path} HTTP/1.1\r\nHost: elsewhere\r\nConnection: keep-alive, Upgrade\r\n"
                "Upgrade: WebSocket, foo\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            assert client.recv(12) == b"HTTP/1.1 " + status
