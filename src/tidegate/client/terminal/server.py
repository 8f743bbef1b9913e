"""The server that a command of a client talks to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from tidegate.core.url import is_plain_http, shown_url, with_scheme
from tidegate.errors import ConfigError, TidegateError


def server_url(text: str) -> str:
    """The URL of `--url` without a final slash; an address on this machine needs no scheme.

    Other addresses do: the user has to decide whether a key is sent unencrypted. Raises `ConfigError`.
    """
    url = with_scheme(text)
    if not is_plain_http(url):
        raise ConfigError(
            f"--url {shown_url(text)}: expected http://HOST:PORT or https://HOST, in ASCII and without user and query"
        )
    return url.rstrip("/")


@contextmanager
def in_use() -> Generator[None]:
    """Tells what fails in use from a wrong command line: a certificate that is not trusted, say."""
    try:
        yield
    except ConfigError as error:
        raise TidegateError(error.message) from error
