"""How a server is reached."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from receiver_kit import Collector

from tidegate.http_client.connect import connect, tls
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import ConnectionRefused, MalformedHost, TimedOut, TlsFailed, UnknownHost
from tidegate.testing.upstream import FakeUpstream, NeverRead, Reply

CERTIFICATE = Path(__file__).parent / "localhost.pem"


async def answer(url: str) -> Collector:
    endpoint, collector = Endpoint.parse(url), Collector()
    connection = await connect(endpoint, 5.0)
    connection.send(endpoint.request_head("POST", "/x", {"content-length": "0"}) + b"\r\n", collector)
    async with asyncio.timeout(5):
        await collector.over.wait()
    connection.abort()
    return collector


@pytest.mark.anyio
async def test_a_port_without_listener_refuses_the_connection() -> None:
    """It is told at once."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefused):
            await connect(Endpoint("http", "127.0.0.1", bound.getsockname()[1]), 5.0)


@pytest.mark.anyio
async def test_a_host_without_address_is_unknown() -> None:
    """A name that does not resolve is told as such."""
    with pytest.raises(UnknownHost):
        await connect(Endpoint("http", "nowhere.invalid", 80), 5.0)


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_host_that_cannot_be_a_name_is_malformed(host: str) -> None:
    """An empty label or one of more than 63 letters is told as what it is, not left to be taken for a bug."""
    with pytest.raises(MalformedHost):
        await connect(Endpoint("http", host, 80), 5.0)


@pytest.mark.anyio
async def test_a_connection_that_is_not_accepted_in_time_times_out() -> None:
    """The connect timeout includes the TLS handshake."""
    async with FakeUpstream([NeverRead()]) as server:
        endpoint = Endpoint.parse(server.url.replace("http:", "https:"))
        with pytest.raises(TimedOut):
            await connect(endpoint, 0.05)


@pytest.fixture
def server_names() -> list[str | None]:
    return []


@pytest.fixture
def tls_server(server_names: list[str | None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.sni_callback = lambda _socket, name, _context: server_names.append(name)
    tls.cache_clear()
    return context


@pytest.mark.anyio
async def test_https_verifies_the_certificate(tls_server: ssl.SSLContext) -> None:
    """A server that cannot prove its name is sent nothing."""
    async with FakeUpstream([Reply(200)], tls=tls_server) as server:
        with pytest.raises(TlsFailed):
            await connect(Endpoint.parse(server.url), 5.0)
        assert server.requests == []


@pytest.mark.anyio
async def test_https_reaches_a_host_with_a_trusted_certificate(
    tls_server: ssl.SSLContext, server_names: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's roots (here OpenSSL's SSL_CERT_FILE) are trusted, and the host is named (SNI)."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with FakeUpstream([Reply(200, b"hello")], tls=tls_server) as server:
        collector = await answer(server.url.replace("127.0.0.1", "localhost"))
    tls.cache_clear()
    assert (collector.body, collector.ends) == (b"hello", [None])
    assert server_names == ["localhost"]
