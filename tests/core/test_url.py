from __future__ import annotations

import pytest

from tidegate.core.url import host_and_port, shown_url, with_scheme


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@h:1/0", "redis://***@h:1/0"),
        ("redis://p@h/0", "redis://***@h/0"),
        ("redis://u:p/p@h/0", "redis://***@h/0"),
        ("redis://u:p#p@h/0", "redis://***@h/0"),
        ("redis://u:p@p@h/0", "redis://***@h/0"),
        ("https://h/v1?key=p#p", "https://h/v1?***"),
        ("https://h/v1#p", "https://h/v1#***"),
        ("u:p@h/v1?key=p", "***@h/v1?***"),
        ("https://h/v1", "https://h/v1"),
        ("sqlite:////home/a@b/x.db", "sqlite:////home/a@b/x.db"),
        ("debug", "debug"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    """Wherever a password or a key stands, and however it is spelled; what is no URL stays."""
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://api.example.com/v1", "api.example.com:443"),
        ("http://u:p@localhost:8080/v1?key=p", "localhost:8080"),
        ("http://[::1]/v1", "[::1]:80"),
        ("http://h:99999/v1", ""),
        ("nonsense", ""),
    ],
)
def test_an_upstream_is_known_by_its_host_and_port(url: str, place: str) -> None:
    """The port is there also where the URL leaves it out; nothing of it is secret."""
    assert host_and_port(url) == place


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "127.8.0.1/llm", "localhost", "LOCALHOST:80", "[::1]:8000/"])
def test_an_address_on_this_machine_needs_no_scheme(text: str) -> None:
    """Nobody else hears what is sent there unencrypted."""
    assert with_scheme(text) == f"http://{text}"


@pytest.mark.parametrize(
    "text",
    [
        "localhost.example.com",
        "127.example.com",
        "127.0.0.1.example.com:80",
        "127.0.0.1:8000@example.com",
        "localhost\\@example.com",
        "[::1",
        "example.com",
        "https://localhost",
        "",
    ],
)
def test_a_foreign_host_is_not_taken_for_this_machine(text: str) -> None:
    """However its name begins: a key would go there in clear."""
    assert with_scheme(text) == text
