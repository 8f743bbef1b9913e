"""What a producer makes of a server's answers, on both faces."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from faces_kit import Make, face
from scripted_kit import Scripted, head

from tidegate.client import Fenced, Offline, TidegateError
from tidegate.errors import UpstreamMalformed

OPENED = {"id": "gen_1", "offset": 1, "text": "", "lease": {"token": "t", "seconds": 5}}


@pytest.fixture(params=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest) -> Iterator[Make]:
    with face(request.param) as make:
        yield make


def answered(status: int, body: bytes, **fields: str) -> bytes:
    return head(status, kind="application/json", content_length=str(len(body)), **fields) + body


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"id": "gen_1"}',
        json.dumps({**OPENED, "lease": {"token": "t", "seconds": -1}}).encode(),
        b'{"id": "gen_1", "offset": 1, "text": "", "lease": {"token": "t", "seconds": NaN}}',
        b'{"id": "gen_\xe9", "offset": 1, "text": "", "lease": null}',
    ],
)
def test_an_answer_that_is_no_stream_is_a_typed_error(client: Make, body: bytes) -> None:
    """A page of a proxy, other JSON, bytes that are not UTF-8, a lease that nobody could keep."""
    with (
        Scripted(answered(200, body)) as server,
        pytest.raises(UpstreamMalformed, match="something else than was asked"),
    ):
        client(server.url).produce()


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (409, b'{"error": {"type": "t", "code": "fenced", "message": "gone"}}', Fenced, "gone (409)"),
        (409, b'{"error": {"code": "fenced", "message": null, "param": NaN}}', Fenced, "the server answered 409"),
        (400, b'{"error": {"message": "caf\xe9"}}', TidegateError, "caf\ufffd (400)"),
        (400, b"<html>\xff", TidegateError, "the server answered 400"),
        (404, b"[" * 10_000, TidegateError, "the server answered 404"),
        (302, b"", TidegateError, "the server answered 302"),
        (502, b"<html>Bad Gateway", TidegateError, "the server answered 502"),
    ],
)
def test_a_refusal_is_a_typed_error_whatever_its_body(
    client: Make, status: int, body: bytes, kind: type[TidegateError], said: str
) -> None:
    """A redirect is one, too."""
    with Scripted(answered(status, body)) as server, pytest.raises(kind) as caught:
        client(server.url, attempts=0).produce()
    assert (caught.value.message, caught.value.status) == (said, status)


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"]
)
def test_what_is_no_answer_is_told_in_words(client: Make, answer: bytes) -> None:
    """It is repeated like any lost connection."""
    with Scripted(answer) as server, pytest.raises(Offline) as caught:
        client(server.url, attempts=0).produce()
    assert "Errno" not in caught.value.message


def test_an_append_whose_answer_is_lost_is_repeated_as_it_was(client: Make) -> None:
    """The server takes it once, at the place where it belongs."""
    with Scripted(
        answered(201, json.dumps(OPENED).encode()), b"", answered(503, b""), answered(200, b'{"offset": 2}')
    ) as server:
        producer = client(server.url, max_delay=0.01).produce("k")
        producer.delta("a")
        assert producer.offset == 2
        producer.close()
    assert "idempotency-key: k\r\n" in server.requests[0].lower()
    assert [request.split()[1] for request in server.requests[1:]] == ["/v1/streams/gen_1/append"] * 3


def test_a_stream_that_has_ended_can_be_opened_and_not_filled(client: Make) -> None:
    """Its text is there for the program that comes again."""
    body = json.dumps({**OPENED, "text": "all", "lease": None}).encode()
    with Scripted(answered(200, body)) as server, client(server.url).produce("k") as producer:
        assert (producer.ended, producer.cancelled, producer.text) == (True, False, "all")
