"""What both clients are made of: the server's place, and the key for it."""

from __future__ import annotations

import os
import random

from tidegate.client.calls import AsyncCredential, Calls
from tidegate.client.wire import Wire
from tidegate.core.api_key import key_in
from tidegate.core.url import is_plain_http, shown_url, with_scheme
from tidegate.errors import ConfigError
from tidegate.http_client.endpoint import Endpoint

KEY_VARIABLE = "TIDEGATE_API_KEY"


def endpoint_of(base_url: str) -> Endpoint:
    """The server at a URL; an address on this machine needs no scheme.

    Others do: the user has to decide whether a key is sent unencrypted. Raises `ConfigError`.
    """
    url = with_scheme(base_url)
    if not is_plain_http(url):
        raise ConfigError(
            f"{shown_url(base_url)}: expected http://HOST:PORT or https://HOST, in ASCII and without user and query"
        )
    return Endpoint.parse(url)


def calls_over(wire: Wire, api_key: AsyncCredential | None, attempts: int | None, max_delay: float) -> Calls:
    """Calls with this key, or else with the one in the environment. Raises `ConfigError` where it is none."""
    key = key_in(KEY_VARIABLE, os.environ) if api_key is None else api_key
    return Calls(wire, key, attempts=attempts, max_delay=max_delay, random=random.random)
