"""What an upstream is told, and what the failures of its connections are called."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tidegate.errors import ConfigError, ProviderError, UpstreamUnreachable
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import BrokenOff, HttpError
from tidegate.providers.upstream import UPSTREAM_ERRORS, connect_upstream, request_head, upstream_error


def test_the_request_says_who_asks_for_what() -> None:
    """One head for all requests: an event stream, uncompressed, with the key as bearer."""
    endpoint = Endpoint.parse("http://u:p@host/v1")
    lines = request_head(endpoint, "/chat/completions", "key").decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert {"host: host", "accept: text/event-stream", "accept-encoding: identity"} <= set(lines)
    assert {"content-type: application/json", "authorization: Bearer key"} <= set(lines)
    assert any(line.startswith("user-agent: tidegate/") for line in lines)
    assert lines[-1] == "content-length: "


def test_credentials_in_the_url_are_basic_authentication() -> None:
    """`https://user:password@…` means what it means to every HTTP client."""
    assert b"\r\nauthorization: Basic dTpww7Y=\r\n" in request_head(Endpoint.parse("http://u:p%C3%B6@host"), "/", "")


def test_a_key_that_cannot_stand_in_a_header_is_refused_unseen() -> None:
    """A line break in a key would forge headers; the message does not show the key."""
    with pytest.raises(ConfigError) as raised:
        request_head(Endpoint.parse("http://host"), "/", "se\r\ncret")
    assert "cret" not in raised.value.message


# What becomes of a failure


def kinds_below(kind: type[HttpError]) -> Iterator[type[HttpError]]:
    for narrower in kind.__subclasses__():
        yield narrower
        yield from kinds_below(narrower)


def test_every_failure_of_a_connection_is_one_of_an_upstream() -> None:
    """None is left to be taken for a bug of the server's, and each says that it is the upstream's."""
    assert set(kinds_below(HttpError)) == UPSTREAM_ERRORS.keys()
    for kind in UPSTREAM_ERRORS:
        mapped = upstream_error(kind("at 10.0.0.1"))
        assert isinstance(mapped, ProviderError)
        assert mapped.message.startswith("The upstream")
        assert "10.0.0.1" not in mapped.message


def test_the_cause_is_kept_for_the_log() -> None:
    """It is the system's own error, not the step between."""
    lost = BrokenOff("closed the connection")
    lost.__cause__ = ConnectionResetError(104, "reset")
    assert upstream_error(lost).__cause__ is lost.__cause__


@pytest.mark.anyio
async def test_an_upstream_that_cannot_be_reached_is_not_shown() -> None:
    """Clients are told no host; the cause has it."""
    with pytest.raises(UpstreamUnreachable, match="host name is not known") as raised:
        await connect_upstream(Endpoint("http", "nowhere.invalid", 80), 5.0)
    assert isinstance(raised.value.__cause__, socket.gaierror)
