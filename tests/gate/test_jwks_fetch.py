from __future__ import annotations

import socket

import pytest
from scripted_kit import Scripted, head

from tidegate.errors import ConfigError, IssuerUnavailable
from tidegate.gate.jwt.jwks_fetch import MAX_BYTES, JwksUrl

DOCUMENT = b'{"keys": []}'


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.anyio
async def test_the_document_is_asked_for_as_json() -> None:
    """The URL is asked for with its query."""
    with Scripted(head() + DOCUMENT) as issuer:
        assert await JwksUrl(f"{issuer.url}/keys?secret=hunter2").fetch() == DOCUMENT
    request = issuer.requests[0].lower()
    assert request.startswith("get /keys?secret=hunter2 http/1.1")
    assert "accept: application/json" in request
    assert "user-agent: tidegate\r\n" in request


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (head(500), "answers 500"),
        (head(204), "answers 204"),
        (head() + b" " * (MAX_BYTES + 1), "answers with more than 1048576 bytes"),
        (head(302, location="ftp://127.0.0.1/keys"), "redirects to another scheme"),
        (b"", "Remote end closed connection without response"),
        (b"SSH-2.0-OpenSSH\r\n", "BadStatusLine"),
    ],
    ids=["500", "204", "too large", "redirect", "closed", "no HTTP"],
)
async def test_an_issuer_that_has_no_document_is_unavailable(answer: bytes, reason: str) -> None:
    """The reason is for the log, in the system's own words where it has some."""
    with Scripted(answer) as issuer, pytest.raises(IssuerUnavailable) as failed:
        await JwksUrl(issuer.url).fetch()
    assert failed.value.message == reason


@pytest.mark.anyio
async def test_an_issuer_that_is_silent_is_unavailable() -> None:
    """Connected, and without an answer until the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(IssuerUnavailable) as failed:
        await JwksUrl(f"http://127.0.0.1:{silent.getsockname()[1]}/keys", timeout=0.1).fetch()
    assert failed.value.message == "timed out"


@pytest.mark.anyio
async def test_an_issuer_that_is_away_is_told_in_the_systems_words() -> None:
    """They repeat nothing of the URL."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(IssuerUnavailable) as failed:
            await JwksUrl(f"http://127.0.0.1:{nobody.getsockname()[1]}/keys?secret=hunter2").fetch()
    assert failed.value.message == "[Errno 111] Connection refused"


@pytest.mark.parametrize(
    "url",
    ["", "auth.example.com", "ftp://a/keys", "file:///keys", "https://", "https://u:hunter2@a/keys", "http://a:x/keys"],
)
def test_what_is_no_url_of_an_issuer_is_wrong_configuration(url: str) -> None:
    """So is a password in it, which is not repeated."""
    with pytest.raises(ConfigError, match=r"^auth\.jwks_url: ") as refused:
        JwksUrl(url)
    assert "hunter2" not in refused.value.message


def test_only_host_and_port_of_the_url_are_told() -> None:
    """Its query may hold a secret."""
    assert JwksUrl("https://auth.example.com/keys?secret=1").name == "auth.example.com"
    assert JwksUrl("http://[::1]:8080/keys").name == "::1:8080"
