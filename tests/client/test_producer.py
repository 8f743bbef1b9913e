from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from scripted_kit import Scripted, head

from tidegate.client.producer import Producer
from tidegate.errors import ConfigError, Fenced, TidegateError, UpstreamMalformed, UpstreamUnreachable

OPENED = {"id": "gen_1", "offset": 1, "text": "", "lease": {"token": "t", "seconds": 5}}


def opened(*answers: bytes, **options: float) -> Producer:
    """One that has no patience: a second try is not what is tested here."""
    with Scripted(*answers) as server:
        return Producer(server.url, key="k", patience=options.get("patience", 0.0))


def answered(status: int, body: bytes) -> bytes:
    return head(status, kind="application/json", content_length=str(len(body))) + body


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
def test_an_answer_that_is_no_stream_is_a_typed_error(body: bytes) -> None:
    """A page of a proxy, other JSON, bytes that are not UTF-8, a lease that nobody could keep."""
    with pytest.raises(UpstreamMalformed, match="did not answer with a stream"):
        opened(answered(200, body))


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (409, b'{"error": {"type": "t", "code": "fenced", "message": "gone"}}', Fenced, "gone"),
        (409, b'{"error": {"code": "fenced", "message": null, "param": NaN}}', Fenced, "the server answered 409"),
        (400, b'{"error": {"message": "caf\xe9"}}', TidegateError, "caf\ufffd"),
        (400, b"<html>\xff", TidegateError, "the server answered 400"),
        (404, b"[" * 100_000, TidegateError, "the server answered 404"),
        (302, b"", TidegateError, "the server answered 302"),
        (502, b"<html>Bad Gateway", UpstreamUnreachable, "the server answered 502"),
    ],
)
def test_a_refusal_is_a_typed_error_whatever_its_body(
    status: int, body: bytes, kind: type[TidegateError], said: str
) -> None:
    """A redirect is one, too; what may pass is tried again as long as patience lasts."""
    with pytest.raises(kind) as caught:
        opened(answered(status, body))
    assert caught.value.message == said


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"]
)
def test_what_is_no_answer_is_a_server_that_cannot_be_reached(answer: bytes) -> None:
    """It is repeated like any lost connection, and told in words."""
    with pytest.raises(UpstreamUnreachable, match="the server cannot be reached: ") as caught:
        opened(answer)
    assert "Errno" not in caught.value.message


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted(answered(201, json.dumps(OPENED).encode())) as scripted:
        yield scripted


def test_a_key_with_white_space_around_it_works(server: Scripted) -> None:
    """As files and clipboards give it."""
    Producer(server.url, key="k", api_key=" tg_x\r\n").close()
    assert "authorization: bearer tg_x\r\n" in server.requests[0].lower()


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    """A line break inside would otherwise stand in the HTTP library's error."""
    with pytest.raises(ConfigError, match="the API key cannot stand in a header") as caught:
        Producer("http://127.0.0.1:9", key="k", api_key="tg_hunter2\nx")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("url", ["ftp://x", "x:1", "http://x:y", "http://é", "http://"])
def test_a_url_that_is_none_is_said(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError, match="is not an http or https URL"):
        Producer(url, key="k")
