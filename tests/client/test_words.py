from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from errno import EHOSTUNREACH
from pathlib import Path

import pytest

from tidegate.client.words import reason

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).parents[1] / "http_client" / "localhost.pem"
HANDSHAKE = ssl.SSLError(1, "[SSL: NO_PROTOCOLS_AVAILABLE] no protocols available")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "the connection was refused; is the server running?"),
        (socket.gaierror(-2, "Name or service not known"), "the host name is not known"),
        (UnicodeError("label empty or too long"), "the host name is not one"),
        (TimeoutError("timed out"), "no answer in time"),
        (ConnectionResetError(104, "reset"), "the connection was closed"),
        (http.client.RemoteDisconnected("Remote end closed"), "the connection was closed"),
        (http.client.BadStatusLine("SSH-2.0"), "what came is not HTTP"),
        (http.client.IncompleteRead(b""), "the connection was closed"),
        (HANDSHAKE, "the TLS handshake failed: [SSL: NO_PROTOCOLS_AVAILABLE] no protocols available"),
        (OSError(EHOSTUNREACH, "No route to host"), "No route to host"),
        (ValueError("Invalid header value"), "ValueError"),
    ],
)
def test_a_failed_call_is_told_in_words(error: Exception, words: str) -> None:
    """Whoever sits before a terminal is not told a number, and nothing that a stranger has sent."""
    assert reason(error) == words


def test_a_certificate_that_is_refused_says_why() -> None:
    """OpenSSL's finding, without its code."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    assert reason(error) == "the TLS handshake failed: certificate has expired"


async def test_a_certificate_of_an_own_authority_leads_to_its_roots() -> None:
    """Where nobody that this machine trusts vouches for the certificate, the variable is named that can change it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    words = await why_not(context)
    assert words.startswith("the TLS handshake failed: self-signed certificate; SSL_CERT_FILE names a file")


async def test_a_port_without_tls_is_said_to_be_one() -> None:
    """Who writes https:// for a server of http:// is not told of version numbers."""
    assert await why_not(None) == "the TLS handshake failed: no TLS is spoken at this port; is it one for http://?"


async def why_not(context: ssl.SSLContext | None) -> str:
    """Why there is no connection by TLS to a server with this context, or to one of plain HTTP."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLError) as failed:
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
    return reason(failed.value)
