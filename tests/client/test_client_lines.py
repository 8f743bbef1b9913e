"""What connections of the client do with keys, with time, and with those who leave, on both faces."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from faces_kit import Make, face
from held_server_kit import Held
from scripted_kit import Scripted, head

from tidegate.client import AsyncClient, NotFound, TidegateError, Unavailable, calls
from tidegate.client.blocking import BlockingWire
from tidegate.client.settings import endpoint_of
from tidegate.client.timed_socket import TimedSocket
from tidegate.client.wire import Request, done


@pytest.fixture(params=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest) -> Iterator[Make]:
    with face(request.param) as make:
        yield make


def answered(status: int, value: object, **fields: str) -> bytes:
    body = json.dumps(value).encode()
    return head(status, kind="application/json", content_length=str(len(body)), **fields) + body


MISSING = answered(404, {"error": {"type": "t", "code": "stream_not_found", "message": "there is none"}})


def keys(requests: list[str]) -> list[str]:
    return [line.split()[-1] for each in requests for line in each.splitlines() if line.lower().startswith("author")]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.models(),
        lambda client: client.produce(),
        lambda client: client.start({"model": "m", "prompt": "p"}),
        lambda client: list(client.follow("gen_1")),
    ],
)
def test_a_function_for_the_key_is_asked_before_each_try(client: Make, ask: Any) -> None:
    """And for nothing else: a token that has run out meanwhile is replaced."""
    told = iter(["k1", "k2", "k3"])
    with Scripted(head(503), head(503), head(401)) as server, pytest.raises(TidegateError):
        ask(client(server.url, lambda: next(told), max_delay=0.01))
    assert keys(server.requests) == ["k1", "k2", "k3"]


def test_a_function_for_the_key_may_be_awaited() -> None:
    """A token often comes from a server."""

    async def key() -> str:
        return "k1"

    with face("awaiting") as make, Scripted(answered(200, {"data": []})) as server:
        assert make(server.url, key).models() == []
    assert keys(server.requests) == ["k1"]


def test_a_request_does_not_show_its_key() -> None:
    """Tracebacks with local variables are sent to others."""
    assert "hunter2" not in repr(Request("GET", "/x", {"authorization": "Bearer hunter2"}))


def test_what_was_deleted_by_a_try_whose_answer_was_lost_is_deleted(client: Make) -> None:
    """The next try finds nothing, which is what was asked for; the first one that finds nothing says so."""
    with Scripted(b"", MISSING, MISSING) as server:
        made = client(server.url, max_delay=0.01)
        made.delete("gen_1")
        with pytest.raises(NotFound):
            made.delete("gen_1")


def test_hints_come_before_the_answer(client: Make) -> None:
    """Any number of them (103 Early Hints), from a proxy say."""
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n"
    with Scripted(b"HTTP/1.1 100 Continue\r\n\r\n" + hint + hint + answered(200, {"data": [{"id": "m"}]})) as server:
        assert client(server.url, attempts=0).models() == ["m"]


def test_a_refusal_whose_words_do_not_end_is_raised(client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status is known."""
    monkeypatch.setattr(calls, "REFUSAL_SECONDS", 0.1)
    with Held(head(503, content_length="99") + b"wa") as server, pytest.raises(Unavailable):
        client(server.url, attempts=0).models()


def test_a_time_limit_is_for_the_whole_exchange() -> None:
    """However many bytes come one by one."""
    ours, theirs = socket.socketpair()
    ended = threading.Event()

    def dribble() -> None:
        while not ended.wait(0.01):
            theirs.sendall(b"a")

    with ours, theirs:
        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        timed = TimedSocket(ours)
        timed.allow(0.3)
        with timed.makefile("rb") as file, pytest.raises(TimeoutError):
            file.readline()
        ended.set()
        dribbling.join()


def test_nothing_is_sent_for_who_has_left_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the connection was made."""
    resolve = socket.getaddrinfo
    with Held(head()) as server, face("blocking") as make:
        stream = make(server.url.replace("127.0.0.1", "localhost")).follow("gen_1")

        def leaving(*args: Any, **options: Any) -> Any:
            stream.close()
            return resolve(*args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", leaving)
        assert list(stream) == []
        server.wait_for_end(0)
    assert server.requests == []


def test_nothing_is_sent_for_a_task_that_has_left_meanwhile() -> None:
    """Here another task leaves as soon as the connection is to be made."""
    with Held(head()) as server, face("awaiting") as make:
        left: list[Any] = []
        stream = make(server.url).follow("gen_1", on_state=lambda *_: left[0]())
        left.append(stream._inner._reader.close)
        assert list(stream) == []
    assert server.requests == []


def test_the_handler_of_a_signal_may_close_what_its_thread_waits_for() -> None:
    """Whichever line of the wait it interrupts."""
    wire = BlockingWire(endpoint_of("http://127.0.0.1:9"))
    lines = [wire.line()]
    before = signal.signal(signal.SIGALRM, lambda *_: lines[0].close())
    try:
        for number in range(500):
            lines[0] = wire.line()
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + 2e-7 * number)
            while not lines[0].closed:
                done(lines[0].wait(0.00002))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_client_outlives_its_loop() -> None:
    """A program that runs a loop for each call leaves no connection of the one before."""
    reply = answered(200, {"data": []}).replace(b"connection: close\r\n", b"")
    with Held(reply, reply) as server:
        client = AsyncClient(server.url)
        for number in range(2):
            assert asyncio.run(client.models()) == []
            server.wait_for_end(number)
