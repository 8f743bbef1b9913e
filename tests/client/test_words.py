from __future__ import annotations

import http.client
import socket
import ssl
from errno import EHOSTUNREACH

import pytest

from tidegate.client.words import reason

HANDSHAKE = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "the connection was refused; is the server running?"),
        (socket.gaierror(-2, "Name or service not known"), "the host name is not known"),
        (UnicodeError("label empty or too long"), "the host name is not one"),
        (TimeoutError("timed out"), "no answer in time"),
        (ConnectionResetError(104, "reset"), "the connection was closed"),
        (http.client.RemoteDisconnected("Remote end closed"), "the connection was closed"),
        (http.client.BadStatusLine("SSH-2.0"), "what came is not HTTP, or broke off"),
        (http.client.IncompleteRead(b""), "what came is not HTTP, or broke off"),
        (HANDSHAKE, "the TLS handshake failed: [SSL: WRONG_VERSION_NUMBER] wrong version number"),
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
    error.verify_message = "self-signed certificate"
    assert reason(error) == "the TLS handshake failed: self-signed certificate"
