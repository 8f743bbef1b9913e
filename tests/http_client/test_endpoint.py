from __future__ import annotations

import pytest

from tidegate.errors import ConfigError
from tidegate.http_client.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://api.example.com/v1", "api.example.com", "/v1/chat"),
        ("https://api.example.com:443/v1/", "api.example.com", "/v1/chat"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "/chat"),
        ("http://[::1]:8080/v1", "[::1]:8080", "/v1/chat"),
        ("http://[::1]/v1", "[::1]", "/v1/chat"),
        ("https://x.example.com/openai/v1?api-version=1", "x.example.com", "/openai/v1/chat?api-version=1"),
        ("http://user:secret@host:81/v1", "host:81", "/v1/chat"),
    ],
)
def test_a_base_url_says_where_calls_go(url: str, authority: str, target: str) -> None:
    """The path of a call comes between the URL's path and its query; credentials stay out of both."""
    endpoint = Endpoint.parse(url)
    assert (endpoint.authority, endpoint.target("/chat")) == (authority, target)


@pytest.mark.parametrize(
    "url",
    [
        *["", "api.example.com", "ftp://host/v1", "http://", "http:///v1", "http://host:port/v1", "http://host:99999/"],
        *["http://ho st/v1", "http://host/v1\r\nx: y", "http://h\u00f6st/v1", "http://[::1/v1"],
    ],
)
def test_what_is_no_http_url_is_a_configuration_error(url: str) -> None:
    """Nothing that could break a request's head or go nowhere is accepted."""
    with pytest.raises(ConfigError):
        Endpoint.parse(url)


def test_a_wrong_url_is_shown_without_its_secrets() -> None:
    """The message names the URL, but not who may use it."""
    with pytest.raises(ConfigError) as raised:
        Endpoint.parse("ftp://anna:hunter2@host/v1?key=hunter3")
    assert "host" in raised.value.message
    assert not any(secret in raised.value.message for secret in ("anna", "hunter2", "hunter3"))


def test_a_request_head_names_the_host_before_anything_else() -> None:
    """Method and target, the Host, the caller's own lines; the caller ends it."""
    head = Endpoint.parse("http://u:p@host:81/v1?a=b").request_head("GET", "/x", {"accept": "*/*"})
    assert head == b"GET /v1/x?a=b HTTP/1.1\r\nhost: host:81\r\naccept: */*\r\n"
