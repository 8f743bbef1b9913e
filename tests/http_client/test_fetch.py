from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from eventually_kit import eventually

from tidegate.http_client.errors import (
    CannotReach,
    ConnectionRefused,
    HttpError,
    MalformedResponse,
    TimedOut,
    TooLarge,
)
from tidegate.http_client.fetch import Document, fetch

pytestmark = pytest.mark.anyio

DOCUMENT = b'{"keys": []}'
MAX_BYTES = 100_000


class Server(ThreadingHTTPServer):
    """Answers with what the path asks for; `asked` are the paths. `over` lets hanging answers go."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.over = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        answers: dict[str, Callable[[], None]] = {
            "/keys": lambda: self.answer(200, DOCUMENT),
            "/keys?secret=hunter2": lambda: self.answer(200, DOCUMENT),
            "/moved": lambda: self.answer(302, b"", location="/keys"),
            "/round": lambda: self.answer(302, b"", location="/round"),
            "/ftp": lambda: self.answer(302, b"", location=f"ftp://127.0.0.1:{self.server.server_port}/keys"),
            "/https": lambda: self.answer(302, b"", location=f"https://127.0.0.1:{self.server.server_port}/keys"),
            "/file": lambda: self.answer(302, b"", location="file:///etc/passwd"),
            "/large": lambda: self.answer(200, b" " * (MAX_BYTES + 1)),
            "/full": lambda: self.answer(200, b" " * MAX_BYTES),
            "/empty": lambda: self.answer(204, b""),
            "/broken": lambda: self.answer(500, b"oops"),
            "/silent": self.hang,
            "/slow": self.drip,
            "/slow-head": self.drip_head,
        }
        with suppress(OSError):
            answers[self.path.partition("#")[0]]()

    def answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)

    def hang(self) -> None:
        self.server.over.wait(10)

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.over.wait(0.01):
            self.wfile.write(b" ")

    def drip_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not self.server.over.wait(0.01):
            self.wfile.write(b"a")

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


async def fetched(url: str, *, seconds: float = 5.0) -> Document:
    return await fetch(url, {"accept": "application/json"}, seconds=seconds, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("path", ["/keys", "/keys?secret=hunter2", "/moved"])
async def test_a_document_is_fetched_from_where_it_is(server: Server, path: str) -> None:
    """That is at the URL, query included, or where the server has moved it."""
    assert await fetched(server.url(path)) == Document(200, DOCUMENT)
    assert server.asked[0] == path


async def test_a_document_may_be_as_large_as_the_limit(server: Server) -> None:
    """One byte more is too many."""
    assert len((await fetched(server.url("/full"))).body) == MAX_BYTES
    with pytest.raises(TooLarge, match=f"answers with more than {MAX_BYTES} bytes"):
        await fetched(server.url("/large"))


@pytest.mark.parametrize(
    ("path", "status"), [("/broken", 500), ("/empty", 204), ("/round", 302), ("/file", 302)], ids=str
)
async def test_another_status_has_no_body(server: Server, path: str, status: int) -> None:
    """It is told as it came; so are redirects that go round, or to another kind of place."""
    assert await fetched(server.url(path)) == Document(status, b"")


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("/ftp", CannotReach, "redirects to another scheme"),
        ("/https", CannotReach, "redirects to another scheme"),
        ("/silent", TimedOut, "timed out"),
        ("/slow", TimedOut, "timed out"),
        ("/slow-head", TimedOut, "timed out"),
    ],
)
async def test_everything_else_is_a_failure_with_its_reason(
    server: Server, path: str, kind: type[HttpError], reason: str
) -> None:
    """It takes no longer than the time limit, whatever the server goes on sending."""
    with pytest.raises(kind) as failed:
        await fetched(server.url(path), seconds=0.2)
    assert str(failed.value) == reason


@pytest.mark.parametrize("path", ["/silent", "/slow", "/slow-head"])
async def test_no_thread_outlives_its_fetch(server: Server, path: str) -> None:
    """Its connection is cut at the time limit."""
    with pytest.raises(TimedOut):
        await fetched(server.url(path), seconds=0.1)
    await eventually(lambda: all(thread.name != "tidegate-fetch" for thread in threading.enumerate()), within=2)


async def test_a_port_without_listener_is_told_without_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query may hold a secret."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefused) as failed:
            await fetched(f"http://127.0.0.1:{nobody.getsockname()[1]}/keys?secret=hunter2")
    assert "refused" in str(failed.value)
    assert "hunter2" not in str(failed.value)


async def test_a_url_that_is_none_is_told_without_itself(server: Server) -> None:
    """The library's own words would repeat it."""
    with pytest.raises(MalformedResponse) as failed:
        await fetched(server.url("/keys?secret=hunter2 \x7f"))
    assert str(failed.value) == "InvalidURL"
