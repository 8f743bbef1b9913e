from __future__ import annotations

import pytest

from tidegate.client.http import connection_to, endpoint_at


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://[::1]/v1", "::1", 80), ("https://[::1]", "::1", 443), ("http://[::1]:8000", "::1", 8000)],
)
def test_an_address_with_colons_is_a_host(url: str, host: str, port: int) -> None:
    """Its last group is no port, whether or not the URL has one."""
    connection = connection_to(endpoint_at(url), 1.0)
    assert (connection.host, connection.port) == (host, port)
