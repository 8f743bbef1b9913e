"""What both faces of the client make of a server's answers, byte for byte."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually_kit import eventually
from faces_kit import Make, both, face
from held_server_kit import Held
from scripted_kit import Scripted, head

from tidegate.client import (
    AsyncClient,
    Conflict,
    Event,
    NotFound,
    Offline,
    RateLimited,
    TidegateError,
    Unauthenticated,
)
from tidegate.errors import ConfigError, GenerationCancelled, InvalidValue, UpstreamMalformed

CERTIFICATE = Path(__file__).parents[1] / "http_client" / "localhost.pem"

GREETING = b"retry: 10\n: heartbeat=15\n\n"
DONE = {"finish_reason": "stop", "usage": None}


@pytest.fixture(params=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest) -> Iterator[Make]:
    with face(request.param) as make:
        yield make


def block(event: str, data: object, number: int | None = None) -> bytes:
    id = "" if number is None else f"id: e-{number}\n"
    return f"{id}event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def delta(number: int, text: str) -> bytes:
    return block("delta", {"text": text}, number)


def answer(status: int, value: object, **fields: str) -> bytes:
    body = json.dumps(value).encode()
    return head(status, kind="application/json", content_length=str(len(body)), **fields) + body


def refused(status: int, code: str, **fields: str) -> bytes:
    error = {"type": "t", "code": code, "message": "there is none", "param": "id", "request_id": "req_1"}
    return answer(status, {"error": error}, **fields)


def test_a_stream_is_read_over_as_many_connections_as_it_takes(client: Make) -> None:
    """Cut in the middle of an event, refused for a while, then resumed: each event once, and the whole text."""
    with Scripted(
        head(tidegate_stream="gen_1") + GREETING + delta(2, "Hel") + b'id: e-3\nevent: delta\ndata: {"te',
        head(503, retry_after_ms="1"),
        b"",
        head() + GREETING + delta(2, "Hel") + delta(3, "lo") + block("completed", DONE, 4),
    ) as server:
        states: list[str] = []
        stream = client(server.url, max_delay=0.01).start(
            {"model": "m", "prompt": "p"}, on_state=lambda state, detail: states.append(state)
        )
        assert stream.id == "gen_1"
        assert [event.cursor for event in stream] == ["e-2", "e-3", "e-4"]
        assert (stream.cursor, stream.text()) == ("e-4", "Hello")
    assert states == ["connecting", "streaming", *["reconnecting", "connecting"] * 3, "streaming", "ended"]
    assert [request.split(" HTTP")[0] for request in server.requests] == [
        "POST /v1/streams",
        *["GET /v1/streams/gen_1/events?after=e-2"] * 3,
    ]


def test_a_start_whose_answer_is_lost_is_repeated_with_its_key(client: Make) -> None:
    """While the id is unknown, so that nothing is generated twice."""
    with Scripted(b"", head(503), head(tidegate_stream="gen_1") + block("completed", DONE, 2)) as server:
        assert client(server.url, max_delay=0.01).start({"model": "m", "prompt": "p"}).text() == ""
    keys = {line for request in server.requests for line in request.lower().splitlines() if "idempotency-key" in line}
    assert len(keys) == 1


def test_a_start_in_the_background_is_followed(client: Make) -> None:
    """Its answer has an id and no events."""
    with Scripted(
        answer(202, {"id": "gen_1"}, tidegate_stream="gen_1"), head() + delta(2, "a") + block("completed", DONE, 3)
    ) as server:
        assert client(server.url).start({"model": "m", "prompt": "p", "background": True}).text() == "a"


def test_offline_after_the_last_attempt_and_on_from_there(client: Make) -> None:
    """Nothing is asked any more; who iterates again, or follows from the error's cursor, gets the rest."""
    with Scripted(
        head() + delta(2, "a"), head(502), b"", head(429), head() + delta(3, "b") + block("completed", DONE, 4)
    ) as server:
        stream = client(server.url, attempts=2, max_delay=0.01).follow("gen_1")
        assert next(stream) == Event("delta", {"text": "a"}, "e-2")
        with pytest.raises(Offline) as caught:
            next(stream)
        assert (caught.value.cursor, stream.cursor, len(server.requests)) == ("e-2", "e-2", 3)
        with pytest.raises(Offline):
            next(client(server.url, attempts=0).follow("gen_1", caught.value.cursor))
        assert [event.cursor for event in stream] == ["e-3", "e-4"]
    assert server.requests[-2].startswith("GET /v1/streams/gen_1/events?after=e-2 ")


def test_offline_says_why(client: Make) -> None:
    """In words, with the failure as its cause; nobody listens here."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for ask in (lambda: client(url, attempts=0).read("gen_1"), lambda: next(client(url, attempts=0).follow("x"))):
            with pytest.raises(Offline, match=f"^{url} does not answer: the connection was refused") as caught:
                ask()
            assert isinstance(caught.value.__cause__, TidegateError)


def test_a_silent_connection_is_replaced(client: Make) -> None:
    """Its heartbeat is what its first comment says; the next connection goes on where it was."""
    with Held(
        head() + b": heartbeat=0.2\n\n" + delta(2, "a"), head() + delta(3, "b") + block("completed", DONE, 4)
    ) as server:
        assert client(server.url, max_delay=0.01).follow("gen_1").text() == "ab"
    assert "after=e-2" in server.requests[1]


def test_a_drain_is_no_failure(client: Make) -> None:
    """`reconnect` is obeyed where no attempt may fail."""
    leave = block("reconnect", {"after_ms": 1, "reason": "draining"})
    with Held(
        head() + delta(2, "a") + leave, head() + leave, head() + delta(3, "b") + block("completed", DONE, 4)
    ) as server:
        assert client(server.url, attempts=0).follow("gen_1").text() == "ab"


def test_a_gap_is_shown_and_the_whole_replaces_what_was_there(client: Make) -> None:
    """The text is that of the snapshot, and what comes after it."""
    with Held(
        head() + delta(2, "lost") + block("gap", {"from": "e-2", "to": "e-9"}, 9),
        head()
        + b"id: f-9\nevent: snapshot\ndata: "
        + b'{"text":"new "}\n\n'
        + b'id: f-10\nevent: delta\ndata: {"text":"one"}\n\n'
        b'id: f-11\nevent: completed\ndata: {"finish_reason":"stop"}\n\n',
    ) as server:
        stream = client(server.url).follow("gen_1")
        assert [event.type for event in stream] == ["delta", "gap", "snapshot", "delta", "completed"]
        assert stream.text() == "new one"
    assert "snapshot=1" in server.requests[1]


def test_nothing_after_the_last_event_is_the_end(client: Make) -> None:
    """204 ends the iteration, and has no text."""
    with Scripted(head(204)) as server:
        assert list(client(server.url).follow("gen_1", "e-9")) == []


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        (refused(404, "stream_not_found"), NotFound, 404),
        (refused(404, "a_later_servers"), NotFound, 404),
        (refused(401, "invalid_credentials"), Unauthenticated, 401),
        (refused(429, "too_many_readers", retry_after="7", x_should_retry="false"), RateLimited, 429),
        (refused(418, "teapot"), TidegateError, 418),
    ],
)
def test_a_refusal_is_raised_as_the_error_that_it_is(
    client: Make, reply: bytes, kind: type[TidegateError], status: int
) -> None:
    """With the server's code, words, and name of the request; it is not asked again."""
    with Scripted(reply, reply) as server:
        made = client(server.url, "key")
        for ask in (lambda: made.read("gen_1"), lambda: list(made.follow("gen_1"))):
            with pytest.raises(kind, match=rf"^there is none \({status}\)$") as caught:
                ask()
            error = caught.value
            assert (error.status, error.request_id, error.param, error.type) == (status, "req_1", "id", "t")
            assert error.code in reply.decode()


def test_the_servers_own_error_is_raised_after_the_last_attempt(client: Make) -> None:
    """A call that was answered each time is not offline."""
    reply = refused(429, "too_many_generations", retry_after_ms="1")
    with Scripted(reply, reply) as server, pytest.raises(RateLimited) as caught:
        client(server.url, attempts=1, max_delay=0.01).start({"model": "m", "prompt": "p"})
    assert (caught.value.code, caught.value.retry_after) == ("too_many_generations", 0.001)


def test_a_stream_that_did_not_complete_has_no_text(client: Make) -> None:
    """Whoever asks for the whole is told why there is none."""
    failed = block("failed", {"error": {"type": "unavailable_error", "code": "interrupted", "message": "it fell"}}, 3)
    with Scripted(head() + failed, head() + block("cancelled", {"by": "client", "reason": "enough"}, 3)) as server:
        with pytest.raises(TidegateError, match="it fell") as caught:
            client(server.url).follow("gen_1").text()
        assert (caught.value.code, caught.value.status) == ("interrupted", 503)
        with pytest.raises(GenerationCancelled, match="cancelled by the client: enough"):
            client(server.url).follow("gen_1").text()


def test_who_follows_from_the_middle_gets_the_whole_text(client: Make) -> None:
    """Of what came before, and of a stream that had ended before, the server knows it."""
    whole = answer(200, {"status": "completed", "text": "Hello"})
    with Scripted(head() + delta(3, "lo") + block("completed", DONE, 4), whole, head(204), whole) as server:
        assert client(server.url).follow("gen_1", "e-2").text() == "Hello"
        assert client(server.url).follow("gen_1", "e-4").text() == "Hello"
    assert server.requests[3].startswith("GET /v1/streams/gen_1 ")


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        ({"status": "failed", "error": {"type": "t", "code": "interrupted", "message": "it fell"}}, "it fell"),
        ({"status": "cancelled", "error": None}, "the stream was cancelled"),
    ],
)
def test_a_stream_that_had_not_completed_has_no_text(client: Make, snapshot: dict[str, object], said: str) -> None:
    """Nor for who comes after its end."""
    with Scripted(head(204), answer(200, {"text": "half", **snapshot})) as server, pytest.raises(TidegateError) as why:
        client(server.url).follow("gen_1", "e-4").text()
    assert why.value.message == said


def test_a_stream_that_is_left_has_no_text(client: Make) -> None:
    """Half an answer is none, whoever has closed it; a topic has none at all."""
    with Held(head() + delta(2, "half"), head() + block("subscribed", {"cursor": "e-1", "state": None})) as server:
        stream = client(server.url).follow("gen_1")
        next(stream)
        threading.Timer(0.05, stream.close).start()
        with pytest.raises(Conflict, match="left before its end"):
            stream.text()
        with pytest.raises(InvalidValue, match="a topic has no end"):
            client(server.url).subscribe("room").text()


def test_halves_of_a_character_are_one_in_the_text(client: Make) -> None:
    """Models write them as two escapes, in two events perhaps; what stays a half is kept as it is."""
    events = delta(2, "\ud83d") + delta(3, "\ude00\ud83d") + block("completed", DONE, 4)
    with Scripted(head() + events) as server:
        assert client(server.url).follow("gen_1").text() == "\U0001f600\ud83d"


@pytest.mark.parametrize(
    "reply",
    [
        head(kind="text/html") + b"<html>",
        head(content_encoding="gzip") + b"\x1f\x8b",
        head() + b"event: delta\ndata: {\n\n",
        head() + b"event: reconnect\ndata: 1\n\n",
    ],
)
def test_an_answer_that_cannot_be_read_is_a_typed_error(client: Make, reply: bytes) -> None:
    """A proxy's page, compression nobody asked for, broken JSON: no crash, and no loop."""
    with Scripted(reply) as server, pytest.raises(UpstreamMalformed):
        list(client(server.url).follow("gen_1"))


def test_a_redirect_is_not_followed(client: Make) -> None:
    """The key would go to a place that nobody chose."""
    said = r"redirects to http://elsewhere\.example/\?\*\*\*: give that place"
    with (
        Scripted(head(307, location="http://elsewhere.example/?x=1")) as server,
        pytest.raises(TidegateError, match=said),
    ):
        client(server.url, "hunter2").read("gen_1")


def test_the_key_is_that_of_the_environment_unless_one_is_given(client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one sends none; a function is asked each time. Proxies of the environment see nothing of it."""
    monkeypatch.setenv("TIDEGATE_API_KEY", "from-outside")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    keys = iter(["k1", "k2"])
    with Scripted(*[answer(200, {"id": "gen_1"})] * 5) as server:
        for made in (client(server.url), client(server.url, "given"), client(server.url, "")):
            made.read("gen_1")
        rotating = client(server.url, lambda: next(keys))
        rotating.read("gen_1")
        rotating.read("gen_1")
    sent = [[line for line in request.lower().splitlines() if "authorization" in line] for request in server.requests]
    assert sent == [
        ["authorization: bearer from-outside"],
        ["authorization: bearer given"],
        [],
        ["authorization: bearer k1"],
        ["authorization: bearer k2"],
    ]


@pytest.mark.parametrize("url", ["ftp://x", "tide.example:8000", "http://u:p@x", "http://x/?k=v", "http://é"])
def test_a_url_that_cannot_be_used_is_said_at_once(client: Make, url: str) -> None:
    """Secrets in it are not repeated."""
    with pytest.raises(ConfigError, match="expected http://HOST:PORT or https://HOST") as caught:
        client(url)
    assert "u:p" not in caught.value.message


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "", "é", "x" * 256])
def test_a_key_that_no_header_can_hold_is_refused(client: Make, key: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidValue, match="a key has 1 to 255 visible characters"):
        client("http://127.0.0.1:9").publish("room", 1, key=key)


def test_what_is_no_json_is_refused_here(client: Make) -> None:
    """A set has no form that the server could read."""
    with pytest.raises(InvalidValue, match="cannot be sent as JSON"):
        client("http://127.0.0.1:9").publish("room", object())


def test_a_certificate_that_is_not_trusted_ends_it(client: Make) -> None:
    """Another try would not help, however many may be made; the words say what would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with Held(b"", tls=context) as server, pytest.raises(ConfigError, match=r"certificate.*SSL_CERT_FILE"):
        client(server.url.replace("http:", "https:"), attempts=None).read("gen_1")


def test_a_kept_connection_is_used_again(client: Make) -> None:
    """A call after the other needs no new connection; one that the server has closed meanwhile is not tried."""
    body = json.dumps({"id": "gen_1"}).encode()
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with Held([reply, reply], [reply]) as server:
        made = client(server.url, attempts=0)
        made.read("gen_1")
        made.read("gen_1")
        server.hang_up(0)
        made.read("gen_1")
    assert server.connections == 2


def test_a_broken_body_is_asked_for_again(client: Make) -> None:
    """Half an answer is none."""
    whole = answer(200, {"id": "gen_1"})
    with Scripted(whole[:-3], whole) as server:
        assert client(server.url, max_delay=0.01).read("gen_1") == {"id": "gen_1"}


def test_closing_wakes_who_waits(client: Make) -> None:
    """From another thread; the iteration ends as at an end, and the server sees the connection go."""
    with Held(head() + delta(2, "a")) as server:
        stream = client(server.url).follow("gen_1")
        next(stream)
        threading.Timer(0.05, stream.close).start()
        assert list(stream) == []
        server.wait_for_end(0)
    assert len(server.requests) == 1


def test_closing_wakes_who_waits_for_the_next_try(client: Make) -> None:
    """Nobody waits 300 seconds for a stream that was left."""
    with Scripted(head(503, retry_after="300")) as server:
        stream = client(server.url).follow("gen_1")
        threading.Timer(0.05, stream.close).start()
        assert list(stream) == []


def test_a_stream_that_is_forgotten_leaves_no_socket(client: Make) -> None:
    """`with` is welcome and not needed: who breaks off a loop is gone."""
    with Held(head() + delta(2, "a")) as server:
        for _ in client(server.url).follow("gen_1"):
            break
        server.wait_for_end(0)


INTERRUPTED = """
import signal, sys
from tidegate.client import Client
signal.signal(signal.SIGINT, signal.default_int_handler)
stream = Client(sys.argv[1]).follow("gen_1")
try:
    print(next(stream).cursor, flush=True)
    next(stream)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(*(event.cursor for event in stream))
"""


def is_waiting(pid: int) -> bool:
    """Whether the process sleeps (proc(5), the third field of `stat`)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")


def test_ctrl_c_leaves_no_socket_and_can_go_on() -> None:
    """The interrupted wait closes its connection; who iterates again resumes."""
    with Held(head() + delta(2, "a"), head() + delta(3, "b") + block("completed", DONE, 4)) as server:
        command = [sys.executable, "-W", "error", "-c", INTERRUPTED, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "e-2\n"
            asyncio.run(eventually(lambda: is_waiting(program.pid)))
            program.send_signal(signal.SIGINT)
            assert program.stdout.readline() == "interrupted\n"
            server.wait_for_end(0)
            assert program.stdout.readline() == "e-3 e-4\n"
    assert program.returncode == 0


@both
def test_a_client_can_be_left(name: str) -> None:
    """Both are context managers."""
    with face(name) as make, Scripted(answer(200, {"data": [{"id": "m"}]})) as server, make(server.url) as made:
        assert made.models() == ["m"]


def test_a_topic_that_could_not_be_entered_can_be_entered_later() -> None:
    """The second time is a new try, and not an end without a word."""
    subscribed = head() + block("subscribed", {"cursor": "e-1", "state": None}, 1)

    async def enter(url: str) -> list[str]:
        async with AsyncClient(url, attempts=0) as client:
            events = client.subscribe("room")
            with pytest.raises(Offline):
                await events.__aenter__()
            async with events:
                return [(await anext(events)).type]

    with Held(b"", subscribed) as server:
        threading.Timer(0.05, lambda: server.hang_up(0)).start()
        assert asyncio.run(enter(server.url)) == ["subscribed"]
