"""`tidegate serve --workers 2` on one Redis: real processes, of which some are killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from eventually_kit import eventually

from tidegate.testing.process import Process, running

LEASE_SECONDS = 1

_prefixes = count()

MODELS = """
[[models]]
name = "brief"
provider = "replay"
tokens = 20
rate = 20
[[models]]
name = "endless"
provider = "replay"
tokens = 10000
rate = 20
"""


@contextmanager
def serving(redis_url: str, folder: Path, *flags: str, config: str = MODELS, workers: int = 2) -> Iterator[Process]:
    """The server, with a part of the store of its own."""
    (folder / "workers.toml").write_text(config)
    environ = {"TIDEGATE_STORE__PREFIX": f"w{next(_prefixes)}", "TIDEGATE_STORE__LEASE_SECONDS": str(LEASE_SECONDS)}
    arguments = ("--config", str(folder / "workers.toml"), "--store", redis_url, "--workers", str(workers), *flags)
    with running(*arguments, environ=environ) as server:
        yield server


def children(pid: int) -> dict[int, str]:
    """The living children of a process, with their command lines (proc(5))."""
    found: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        # It may end in this moment.
        with suppress(FileNotFoundError, ProcessLookupError):
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
    return found


def workers_of(server: Process) -> list[int]:
    return [pid for pid, command in children(server.pid).items() if "tidegate.workers.worker" in command]


def served_by(server: Process) -> Counter[int]:
    """How many requests each worker has logged."""
    return Counter(int(number) for number in re.findall(r'"request done".*"worker": (\d)', server.stderr()))


def wait(truth: Callable[[], object], *, within: float = 10.0) -> None:
    asyncio.run(eventually(truth, within=within))


def connected(server: Process) -> HTTPConnection:
    """A connection of its own: which worker has it is the kernel's choice."""
    return HTTPConnection(server.url.removeprefix("http://"), timeout=20)


def ask(server: Process, path: str, body: dict[str, object] | None = None) -> tuple[int, bytes]:
    """The status and the whole answer."""
    with closing(connected(server)) as connection:
        return asked(connection, path, body)


def asked(connection: HTTPConnection, path: str, body: dict[str, object] | None = None) -> tuple[int, bytes]:
    send(connection, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def send(connection: HTTPConnection, path: str, body: dict[str, object] | None) -> None:
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})


def start(server: Process, model: str) -> str:
    status, answer = ask(server, "/v1/streams", {"model": model, "prompt": "x", "background": True})
    assert status == 202, answer
    return json.loads(answer)["id"]


def listed(server: Process, path: str) -> list[dict[str, Any]]:
    status, answer = ask(server, path)
    assert status == 200, answer
    return json.loads(answer)["data"]


def knock(server: Process) -> str:
    try:
        return "answered" if ask(server, "/healthz")[0] == 200 else "refused"
    except (ConnectionRefusedError, TimeoutError):
        return "refused"
    except (ConnectionError, HTTPException):
        return "was answered by the one that died"


def test_each_answers_for_what_the_other_has(redis_url: str, tmp_path: Path) -> None:
    """One ready line, one port that no second server joins, one log; a stream is there wherever its reader comes."""
    with serving(redis_url, tmp_path) as server:
        assert re.fullmatch(r"tidegate: chat at http://127\.0\.0\.1:\d+/ \(logs in redis://.*\)", server.ready)
        stream = start(server, "brief")
        assert Counter(ask(server, f"/v1/streams/{stream}")[0] for _ in range(20)) == {200: 20}
        wait(lambda: served_by(server).keys() == {0, 1})
        port = server.url.rpartition(":")[2]
        with serving(redis_url, tmp_path, "--port", port) as second:
            assert second.wait() == 1
            assert f"port {port} on 127.0.0.1 is in use" in second.stderr()
        assert ask(server, f"/v1/streams/{stream}/events")[1].count(b"event: completed") == 1


def test_a_worker_that_dies_is_replaced_and_nobody_is_refused(redis_url: str, tmp_path: Path) -> None:
    """The other one takes its connections until the next is there; only who was connected to it has to come back.

    Where the parent is killed, both die: nothing is in the way of a server that takes its place.
    """
    with serving(redis_url, tmp_path) as server:
        before = workers_of(server)
        os.kill(before[0], signal.SIGKILL)
        knocks: Counter[str] = Counter()
        while "worker 0 is there again" not in server.stderr():
            knocks[knock(server)] += 1
        assert knocks["answered"] > 0
        assert knocks["refused"] == 0
        assert "died with signal 9 (SIGKILL)" in server.stderr()
        assert before[1] in workers_of(server)
        known = served_by(server)[0]

        def is_asked_again() -> bool:
            ask(server, "/v1/models")
            return served_by(server)[0] > known

        wait(is_asked_again)
        workers = workers_of(server)
        server.signal(signal.SIGKILL)
        server.wait()
        wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), within=5)
        with pytest.raises(ConnectionRefusedError):
            ask(server, "/healthz")


def test_they_drain_together(redis_url: str, tmp_path: Path) -> None:
    """What runs is read to its end, whichever of them runs it; the exit code is that of one process."""
    with serving(redis_url, tmp_path, "--log-level", "debug") as server, ThreadPoolExecutor(6) as threads:
        streams = [start(server, "brief") for _ in range(6)]
        reading = [threads.submit(ask, server, f"/v1/streams/{stream}/events") for stream in streams]
        wait(lambda: server.stderr().count("reader attached") == len(streams))
        server.signal()
        for each in reading:
            assert each.result()[1].count(b"event: completed") == 1
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()


def test_a_second_signal_stops_all_at_once(redis_url: str, tmp_path: Path) -> None:
    """As it does one process."""
    with serving(redis_url, tmp_path) as server:
        workers = workers_of(server)
        for _ in range(4):
            start(server, "endless")
        server.signal(signal.SIGINT)
        wait(lambda: server.stderr().count("draining: new generations are refused") == 2)
        server.signal(signal.SIGINT)
        assert server.wait(within=5) == 1
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_what_no_worker_can_start_with_is_said_once(redis_url: str, tmp_path: Path) -> None:
    """In one line with the value and its source, as by one process, and with its exit code."""
    with serving("redis://:wrong@" + redis_url.partition("://")[2], tmp_path) as server:
        assert server.wait() == 2
        assert server.ready == ""
        said = [line for line in server.stderr().splitlines() if line.startswith("tidegate: ")]
        assert len(said) == 1
        assert said[0].startswith("tidegate: store.url = ")
        assert "(--store)" in said[0]
        assert "wrong" not in server.stderr()


def test_operators_are_answered_for_all(redis_url: str, tmp_path: Path) -> None:
    """Whichever worker they come to: it lists the readers of both, and sends one of the other's away."""
    with serving(redis_url, tmp_path) as server, ExitStack() as stack:
        stream = start(server, "endless")
        readers: list[HTTPResponse] = []

        def both_have_one() -> bool:
            connection = stack.enter_context(closing(connected(server)))
            send(connection, f"/v1/streams/{stream}/events", None)
            readers.append(connection.getresponse())
            return len({each["node"] for each in listed(server, "/v1/admin/connections")}) == 2

        wait(both_have_one)
        found = listed(server, "/v1/admin/connections")
        assert len(found) == len(readers)
        (shown,) = listed(server, "/v1/admin/streams")
        assert shown["readers"] == len(readers)
        assert shown["node"] in {each["node"] for each in found}
        for each in found:
            assert ask(server, f"/v1/admin/connections/{each['id']}/close", {})[0] == 204
        assert all(reader.read().count(b"event: reconnect") == 1 for reader in readers)


def test_what_a_dead_worker_filled_is_ended_by_the_other(redis_url: str, tmp_path: Path) -> None:
    """Within its lease and a second, whether it is replaced or not; what the other one fills goes on."""
    with serving(redis_url, tmp_path) as server:
        filled: dict[str, str] = {}

        def both_fill() -> bool:
            start(server, "endless")
            filled.update((each["id"], each["node"]) for each in listed(server, "/v1/admin/streams"))
            return len(set(filled.values())) == 2

        wait(both_fill)
        os.kill(workers_of(server)[0], signal.SIGKILL)

        def ended_by(status: str) -> set[str]:
            return {filled[each["id"]] for each in listed(server, "/v1/streams") if each["status"] == status}

        wait(lambda: ended_by("failed") and not ended_by("failed") & ended_by("running"), within=LEASE_SECONDS + 2)
        assert len(ended_by("failed")) == len(ended_by("running")) == 1


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
def test_they_have_one_embedded_model(redis_url: str, tmp_path: Path) -> None:
    """One process runs it for both, with its slots; the slot of a worker that was killed is free for the other."""
    config = '[[models]]\nname = "m"\nprovider = "llama"\nparallel = 1\ncontext = 1024\n'
    with serving(redis_url, tmp_path, config=config) as server:
        assert len([command for command in children(server.pid).values() if "llama.child" in command]) == 1
        with closing(connected(server)) as connection:
            # Both calls go over one connection, and only the first is logged before its end.
            assert asked(connection, "/v1/models")[0] == 200
            wait(lambda: served_by(server))
            (busy,) = served_by(server)
            long = {"model": "m", "prompt": "Tell a long story.", "stream": True, "max_tokens": 900}
            send(connection, "/v1/streams", long)
            answer = connection.getresponse()
            assert any(line == b"event: delta\n" for line in answer)
            os.kill(workers_of(server)[busy], signal.SIGKILL)
            status, told = ask(server, "/v1/streams", {"model": "m", "prompt": "Say hello.", "max_tokens": 4})
            assert (status, json.loads(told)["usage"]["completion_tokens"]) == (200, 4)


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
def test_all_of_them_read_their_settings_again_or_none(redis_url: str, tmp_path: Path) -> None:
    """One line says what has changed. What runs goes on, and so does the embedded model; who replaces a dead one begins
    with the settings of now."""
    embedded = '[[models]]\nname = "m"\nprovider = "llama"\nparallel = 1\ncontext = 256\n'
    config = tmp_path / "workers.toml"

    def models() -> set[str]:
        return {each["id"] for each in listed(server, "/v1/models")}

    def again(text: str) -> str:
        config.write_text(text)
        before = said()
        server.signal(signal.SIGHUP)
        wait(lambda: len(said()) > len(before), within=60)
        (line,) = said()[len(before) :]
        return line

    def said() -> list[str]:
        found = [json.loads(line) for line in server.stderr().splitlines() if line.startswith("{")]
        return [line["message"] for line in found if line["logger"] == "tidegate.config"]

    with serving(redis_url, tmp_path, config=MODELS + embedded) as server, ThreadPoolExecutor(6) as threads:
        streams = [start(server, "brief") for _ in range(6)]
        reading = [threads.submit(ask, server, f"/v1/streams/{stream}/events") for stream in streams]
        processes = children(server.pid)
        assert again(embedded + MODELS.replace("brief", "other")).endswith("models added: other; models removed: brief")
        assert [models() for _ in range(20)] == [{"m", "other", "endless"}] * 20
        assert "nothing was changed: models.0.rate = -1 (" in again(MODELS.replace("rate = 20", "rate = -1"))
        assert [models() for _ in range(20)] == [{"m", "other", "endless"}] * 20
        for each in reading:
            assert each.result()[1].count(b"event: completed") == 1
        assert children(server.pid) == processes
        assert again(MODELS).endswith("models added: brief; models removed: m, other")
        wait(lambda: not any("llama.child" in command for command in children(server.pid).values()), within=60)
        os.kill(workers_of(server)[0], signal.SIGKILL)
        wait(lambda: "worker 0 is there again" in server.stderr(), within=60)
        assert [models() for _ in range(20)] == [{"brief", "endless"}] * 20


def test_a_faulty_key_file_takes_away_no_worker(redis_url: str, tmp_path: Path) -> None:
    """Nothing was changed, and so the next worker starts with the key that the others have."""
    key = tmp_path / "upstream.key"
    key.write_text("sk-1\n")
    remote = f'[[models]]\nname = "m"\nprovider = "openai"\nbase_url = "http://127.0.0.1:9"\napi_key_file = "{key}"\n'
    with serving(redis_url, tmp_path, config=MODELS + remote) as server:
        key.write_text("")
        server.signal(signal.SIGHUP)
        wait(lambda: "nothing was changed" in server.stderr(), within=60)
        os.kill(workers_of(server)[0], signal.SIGKILL)
        wait(lambda: "worker 0 is there again" in server.stderr(), within=60)
        assert "cannot be started again" not in server.stderr()
