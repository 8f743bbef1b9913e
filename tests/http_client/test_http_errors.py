from __future__ import annotations

import http.client
import socket
import ssl

import pytest

from tidegate.http_client.errors import (
    CannotReach,
    ConnectionClosed,
    ConnectionRefused,
    HttpError,
    MalformedHost,
    MalformedResponse,
    TimedOut,
    TlsFailed,
    UnknownHost,
    failure,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(-2, "Name or service not known"), UnknownHost),
        (UnicodeError("label empty or too long"), MalformedHost),
        (ConnectionRefusedError(111, "Connection refused"), ConnectionRefused),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), TlsFailed),
        (ssl.SSLEOFError(8, "EOF occurred"), TlsFailed),
        (TimeoutError("timed out"), TimedOut),
        (ConnectionResetError(104, "reset"), ConnectionClosed),
        (http.client.RemoteDisconnected("Remote end closed"), ConnectionClosed),
        (http.client.BadStatusLine("SSH-2.0"), MalformedResponse),
        (OSError("Multiple exceptions"), CannotReach),
        (ValueError("Invalid header value"), CannotReach),
    ],
)
def test_what_the_standard_library_raises_has_one_meaning(error: Exception, kind: type[HttpError]) -> None:
    """All callers read it alike, and have the exception itself as the cause."""
    failed = failure(error)
    assert type(failed) is kind
    assert failed.__cause__ is error


def test_the_text_of_a_failure_repeats_no_url() -> None:
    """The system's own words do not have it; of what else is raised, only the class is told."""
    assert str(failure(ConnectionRefusedError(111, "Connection refused"))) == "[Errno 111] Connection refused"
    assert str(failure(http.client.InvalidURL("URL can't contain '/keys?secret=hunter2 '"))) == "InvalidURL"
