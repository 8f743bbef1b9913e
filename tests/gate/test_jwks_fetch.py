from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from eventually_kit import eventually

from tidegate.errors import ConfigError, IssuerUnavailable
from tidegate.gate.jwks_fetch import MAX_BYTES, JwksUrl

pytestmark = pytest.mark.anyio

DOCUMENT = b'{"keys": []}'


class Issuer(ThreadingHTTPServer):
    """Answers with what the path asks for; `asked` are the paths. `over` lets hanging answers go."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.over = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Issuer

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
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("no_proxy", "*")
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/keys", "/keys?secret=hunter2", "/moved"])
async def test_fetched(issuer: Issuer, path: str) -> None:
    """The document is that at the URL, query included, or where the issuer has moved it."""
    assert await JwksUrl(issuer.url(path)).fetch() == DOCUMENT
    assert issuer.asked[0] == path


async def test_full(issuer: Issuer) -> None:
    """A document may have a mebibyte."""
    assert len(await JwksUrl(issuer.url("/full")).fetch()) == MAX_BYTES


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/broken", "answers 500"),
        ("/empty", "answers 204"),
        ("/large", "answers with more than 1048576 bytes"),
        ("/round", "answers 302"),
        ("/file", "answers 302"),
        ("/ftp", "redirects to another scheme"),
        ("/https", "redirects to another scheme"),
        ("/silent", "timed out"),
        ("/slow", "timed out"),
        ("/slow-head", "timed out"),
    ],
)
async def test_failures(issuer: Issuer, path: str, reason: str) -> None:
    """Everything else is a failure with its reason, in bounded time and size."""
    with pytest.raises(IssuerUnavailable) as failed:
        await JwksUrl(issuer.url(path), timeout=0.2).fetch()
    assert failed.value.message == reason


@pytest.mark.parametrize("path", ["/silent", "/slow", "/slow-head"])
async def test_no_thread_outlives_its_fetch(issuer: Issuer, path: str) -> None:
    """Whatever the issuer goes on sending: its connection is cut at the time limit."""
    with pytest.raises(IssuerUnavailable):
        await JwksUrl(issuer.url(path), timeout=0.1).fetch()
    await eventually(lambda: all(thread.name != "tidegate-jwks" for thread in threading.enumerate()), within=2)


async def test_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason repeats nothing of the URL."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = JwksUrl(f"http://127.0.0.1:{nobody.getsockname()[1]}/keys?secret=hunter2")
        with pytest.raises(IssuerUnavailable) as failed:
            await url.fetch()
    assert "refused" in failed.value.message
    assert "hunter2" not in failed.value.message


async def test_no_http(issuer: Issuer) -> None:
    """Nor where the URL itself is what is wrong."""
    with pytest.raises(IssuerUnavailable) as failed:
        await JwksUrl(issuer.url("/keys?secret=hunter2 \x7f")).fetch()
    assert failed.value.message == "InvalidURL"


@pytest.mark.parametrize(
    "url",
    ["", "auth.example.com", "ftp://a/keys", "file:///keys", "https://", "https://u:hunter2@a/keys", "http://a:x/keys"],
)
def test_refused(url: str) -> None:
    """What is no http or https URL is wrong configuration, and so is a password in it, which is not repeated."""
    with pytest.raises(ConfigError, match=r"^auth\.jwks_url: ") as refused:
        JwksUrl(url)
    assert "hunter2" not in refused.value.message


def test_name() -> None:
    """Of the URL only host and port are told."""
    assert JwksUrl("https://auth.example.com/keys?secret=1").name == "auth.example.com"
    assert JwksUrl("http://[::1]:8080/keys").name == "::1:8080"
