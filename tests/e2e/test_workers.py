"""`tidegate serve --workers 2` on one Redis: real processes, of which some are killed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
from eventually_kit import eventually

from tidegate.testing.process import Process, running

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
    environ = {"TIDEGATE_STORE__PREFIX": f"w{next(_prefixes)}", "TIDEGATE_STORE__LEASE_SECONDS": "1"}
    arguments = ("--config", str(folder / "workers.toml"), "--store", redis_url, "--workers", str(workers), *flags)
    with running(*arguments, environ=environ) as server:
        yield server


def children(pid: int) -> dict[int, str]:
    """The living children of a process, with their command lines (proc(5))."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in found}


def workers_of(server: Process) -> list[int]:
    return [pid for pid, command in children(server.pid).items() if "tidegate.workers.worker" in command]


def served_by(server: Process) -> Counter[int]:
    """How many requests each worker has logged."""
    return Counter(int(number) for number in re.findall(r'"request done".*"worker": (\d)', server.stderr()))


def wait(truth: Callable[[], object], *, within: float = 10.0) -> None:
    asyncio.run(eventually(truth, within=within))


def start(server: Process, model: str) -> str:
    answer = httpx.post(f"{server.url}/v1/streams", json={"model": model, "prompt": "x", "background": True})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def test_each_answers_for_what_the_other_has(redis_url: str, tmp_path: Path) -> None:
    """One ready line, one port that no second server joins, one log; a stream is there wherever its reader comes."""
    with serving(redis_url, tmp_path) as server:
        assert re.fullmatch(r"tidegate: chat at http://127\.0\.0\.1:\d+/ \(logs in redis://.*\)", server.ready)
        stream = start(server, "brief")
        statuses = Counter(httpx.get(f"{server.url}/v1/streams/{stream}").status_code for _ in range(20))
        assert statuses == {200: 20}
        wait(lambda: served_by(server).keys() == {0, 1})
        port = server.url.rpartition(":")[2]
        with serving(redis_url, tmp_path, "--port", port) as second:
            assert second.wait() == 1
            assert f"port {port} on 127.0.0.1 is in use" in second.stderr()
        with httpx.stream("GET", f"{server.url}/v1/streams/{stream}/events") as reader:
            assert "event: completed" in reader.read().decode()


def test_a_worker_that_dies_is_replaced_and_nobody_is_refused(redis_url: str, tmp_path: Path) -> None:
    """The other one takes its connections until the next is there; only who was connected to it has to come back.

    Where the parent is killed, both die: nothing is in the way of a server that takes its place.
    """
    with serving(redis_url, tmp_path) as server:
        before = workers_of(server)
        stop = threading.Event()
        refused: list[httpx.HTTPError] = []

        def knock() -> int:
            answered = 0
            while not stop.is_set():
                try:
                    answered += httpx.get(f"{server.url}/healthz").status_code == 200
                except (httpx.ConnectError, httpx.TimeoutException) as error:
                    refused.append(error)
                except httpx.HTTPError:
                    pass  # It was answered by the one that died.
            return answered

        with ThreadPoolExecutor(4) as threads:
            knocking = [threads.submit(knock) for _ in range(4)]
            try:
                os.kill(before[0], signal.SIGKILL)
                wait(lambda: "worker 0 is there again" in server.stderr())
            finally:
                stop.set()
        assert sum(each.result() for each in knocking) > 0
        assert refused == []
        assert "died with signal 9 (SIGKILL)" in server.stderr()
        assert before[1] in workers_of(server)
        known = served_by(server)[0]

        def is_asked_again() -> bool:
            httpx.get(f"{server.url}/v1/models")
            return served_by(server)[0] > known

        wait(is_asked_again)
        workers = workers_of(server)
        server.signal(signal.SIGKILL)
        server.wait()
        wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), within=5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


def test_they_drain_together(redis_url: str, tmp_path: Path) -> None:
    """What runs is read to its end, whichever of them runs it; the exit code is that of one process."""
    with serving(redis_url, tmp_path) as server, ThreadPoolExecutor(6) as threads:
        streams = [start(server, "brief") for _ in range(6)]
        began = threading.Barrier(7, timeout=10)

        def read(stream: str) -> str:
            with httpx.stream("GET", f"{server.url}/v1/streams/{stream}/events", timeout=20) as reader:
                began.wait()
                return reader.read().decode()

        reading = [threads.submit(read, stream) for stream in streams]
        began.wait()
        server.signal()
        for each in reading:
            assert each.result().count("event: completed") == 1
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


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
def test_they_have_one_embedded_model(redis_url: str, tmp_path: Path) -> None:
    """One process runs it for both, with its slots; the slot of a worker that was killed is free for the other."""
    config = '[[models]]\nname = "m"\nprovider = "llama"\nparallel = 1\ncontext = 1024\n'
    with serving(redis_url, tmp_path, config=config) as server:
        assert len([command for command in children(server.pid).values() if "llama.child" in command]) == 1
        body = {"model": "m", "prompt": "Tell a long story.", "stream": True, "max_tokens": 900}
        with httpx.Client(base_url=server.url, timeout=30) as client:
            # Both calls go over one connection, and only the first is logged before its end.
            assert client.get("/v1/models").status_code == 200
            (busy,) = served_by(server)
            with client.stream("POST", "/v1/streams", json=body) as answer:
                assert any(line == "event: delta" for line in answer.iter_lines())
                os.kill(workers_of(server)[busy], signal.SIGKILL)
                short = {"model": "m", "prompt": "Say hello.", "max_tokens": 4}
                told = httpx.post(f"{server.url}/v1/streams", json=short, timeout=30).json()
                assert (told["status"], told["usage"]["completion_tokens"]) == ("completed", 4)
