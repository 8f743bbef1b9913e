from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Iterator

import pytest
from scripted_kit import Scripted, head

from tidegate.client.models import list_models
from tidegate.errors import TidegateError, UpstreamMalformed, UpstreamRefused, UpstreamUnreachable

JSON = "application/json"


def listed(body: bytes, **fields: str) -> list[str]:
    with Scripted(head(kind=JSON, **fields) + body) as upstream:
        return list_models(upstream.url, "")


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b"}]}, ["a", "b"]),
        ([{"id": "a", "object": "model"}], ["a"]),
        (["a", "b"], ["a", "b"]),
        ({"data": ["a"]}, ["a"]),
        ({"models": [{"name": "llama3:8b", "model": "llama3:8b", "size": 1}]}, ["llama3:8b"]),
        ({"models": [{"name": "models/gemini-2.0-flash", "version": "2"}]}, ["models/gemini-2.0-flash"]),
        ({"models": [{"model": "a"}], "object": "list", "data": None}, ["a"]),
        ({"models": ["x"], "data": [{"id": "a"}]}, ["a"]),
        ({"data": [], "models": ["a"]}, ["a"]),
        ({"data": [{"id": "a"}, {"id": "a"}, {"id": "b"}]}, ["a", "b"]),
        (
            {"data": [{"id": None, "name": "a"}, {"id": 5}, None, 7, [], "", {}, {"id": "b", "created": None}]},
            ["a", "b"],
        ),
        ({"data": [{"id": "a", "created": 1e300, "owned_by": {}, "permission": None}], "extra": [[]]}, ["a"]),
        ({"data": [{"id": "x" * 257}, {"id": "a\x1b[31m"}, {"id": "\ud800"}, {"id": "名"}]}, ["名"]),
    ],
)
def test_a_list_of_models_is_read_in_every_shape_that_servers_use(answer: object, names: list[str]) -> None:
    """OpenAI's object, bare lists, Ollama's and Gemini's; what has no name that can be asked for is left out."""
    assert listed(json.dumps(answer).encode()) == names


@pytest.mark.parametrize(
    "body",
    [
        '{"data": [{"id": "a", "description": "é"}]}'.encode("latin-1"),
        b'\xef\xbb\xbf{"data": [{"id": "a"}]}',
        b'{"data": [{"id": "a", "price": NaN, "limit": -Infinity, "size": 1e999}]}',
        b'{"data": [{"id": "a", "note": "line\nbreak \\ud800"}]}',
    ],
)
def test_what_is_no_strict_json_is_read_as_far_as_it_is_needed(body: bytes) -> None:
    """Latin-1, a byte order mark, NaN, raw line breaks and half emoji stand in fields that nobody asks for."""
    assert listed(body) == ["a"]


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_an_answer_that_is_compressed_unasked_is_read(encoding: str, packed: object) -> None:
    """Some proxies compress whatever they are asked."""
    assert callable(packed)
    assert listed(packed(b'["a"]'), content_encoding=encoding) == ["a"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>\x1b[31m" + b"x" * 200, "did not answer with a list of models, but 200 with '<html>\x1b[31m"),
        (b"", "did not answer with a list of models, but 200 with ''"),
        (b"[" * 100_000, "did not answer with a list of models, but 200 with '[["),
        (b"9" * 5000, "did not answer with a list of models, but 200 with '99"),
        (b"\xff\xfe\x00", "did not answer with a list of models, but 200 with '"),
        (b"[]", "lists no models: it answered 200 with '[]'"),
        (b'{"data": []}', "lists no models: it answered 200 with '{\"data\": []}'"),
        (b'{"data": [{"owner": "a"}]}', "lists no models: it answered 200 with "),
        (b'"models"', "lists no models: it answered 200 with '\"models\"'"),
        (b"5", "lists no models: it answered 200 with '5'"),
    ],
)
def test_an_answer_that_lists_nothing_is_quoted(body: bytes, said: str) -> None:
    """The URL, the status, and the first 100 characters of what came."""
    with Scripted(head(kind=JSON) + body) as upstream, pytest.raises(UpstreamMalformed) as caught:
        list_models(upstream.url, "")
    assert caught.value.message.startswith(f"{upstream.url}/models {said}")
    assert len(caught.value.message) < len(said) + 200


@pytest.mark.parametrize(
    ("status", "fields", "body", "said"),
    [
        (401, {}, b'{"error": {"message": "no key"}}', "asks for a key: put it into UPSTREAM_API_KEY (no key)"),
        (403, {}, b"<h1>no", "asks for a key: put it into UPSTREAM_API_KEY ('<h1>no')"),
        (404, {}, b'{"detail": "Not Found"}', "answered 404: Not Found (--upstream is the URL before /models, "),
        (404, {}, b"", "which mostly ends in /v1)"),
        (404, {}, b"\xff", "answered 404: '\ufffd'"),
        (500, {}, b'{"error": "broken"}', "answered 500: broken"),
        (503, {"retry_after": "99999999999"}, b"", "answered 503: ''"),
        (
            301,
            {"location": "https://u:hunter2@x/v1/models"},
            b"",
            "redirects to https://***@x/v1/models: give that place",
        ),
        (307, {}, b"moved", "answered 307: 'moved'"),
    ],
)
def test_a_refusal_says_status_and_what_came(status: int, fields: dict[str, str], body: bytes, said: str) -> None:
    """With the server's own words where it has any, and what to do where that is known."""
    with Scripted(head(status, **fields) + body) as upstream, pytest.raises(UpstreamRefused) as caught:
        list_models(upstream.url, "")
    assert f"answered {status}: " in caught.value.message
    assert said in caught.value.message


def test_a_key_that_is_refused_is_said_to_be_and_not_shown() -> None:
    """Another message than where there is none."""
    with (
        Scripted(head(401)) as upstream,
        pytest.raises(UpstreamRefused, match="refuses the key in UPSTREAM_API") as caught,
    ):
        list_models(upstream.url, "sk-hunter2")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "does not answer: the connection was closed"),
        (b"SSH-2.0-OpenSSH_9\r\n", "does not answer: what came is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "answered 200, and broke off: "),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n[]", "does not answer: "),
    ],
)
def test_what_is_no_whole_answer_is_said_in_words(answer: bytes, said: str) -> None:
    """Another protocol on the port, a server that hangs up, and chunks without sense."""
    with Scripted(answer) as upstream, pytest.raises(TidegateError) as caught:
        list_models(upstream.url, "")
    assert caught.value.message.startswith(f"{upstream.url}/models {said}")
    assert "Errno" not in caught.value.message


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends a space now and then, for ever."""
    listening = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(head(kind=JSON))
            while not done.wait(0.02):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    done.set()
    thread.join()
    listening.close()


def test_a_server_that_never_comes_to_an_end_is_given_up(dripping: str) -> None:
    """Whatever it sends meanwhile, the start does not wait for ever."""
    with pytest.raises(UpstreamUnreachable, match="no answer in time"):
        list_models(dripping, "", timeout=0.2)


def test_a_server_that_does_not_answer_is_given_up() -> None:
    """Connected, and silent."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(UpstreamUnreachable, match="no answer in time"),
    ):
        list_models(f"http://127.0.0.1:{silent.getsockname()[1]}", "", timeout=0.1)
