from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import HostNotAllowed
from tidegate.gate.host import HostMiddleware, host_of

pytestmark = pytest.mark.anyio

ALLOWED = ("chat.example.com", "*.example.org", "Example.NET:8443", "[2001:db8::1]")


async def reached(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def gate(allowed: tuple[str, ...] = ALLOWED) -> HostMiddleware:
    return HostMiddleware(reached, allowed_hosts=allowed, public_url="https://app.example.com/llm")


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8000", "LOCALHOST", "localhost.", "a.localhost:1", "127.0.0.1", "127.8.9.1:80",
        "[::1]:8", "app.example.com", "app.example.com:443", "chat.example.com", "a.example.org", "a.b.example.org:1",
        "example.net", "example.net:9", "[2001:DB8::1]:80",
    ],
)  # fmt: skip
async def test_allowed(exchange: Any, host: str) -> None:
    """Loopback names, the public one and those listed are answered to, whatever the port and the case."""
    assert (await exchange(gate(), [(b"host", host.encode())])).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "notlocalhost", "evil.com:8000", "example.org",
        "xexample.org", "1127.0.0.1", "192.168.0.1", "0.0.0.0", "[::2]", "chat.example.com.evil.com", "testserver",
    ],
)  # fmt: skip
async def test_refused(exchange: Any, host: str) -> None:
    """A page that lets its own name resolve to this server gets nothing."""
    with pytest.raises(HostNotAllowed, match="does not answer"):
        await exchange(gate(), [(b"host", host.encode())])


async def test_an_address_is_listed_with_or_without_brackets(exchange: Any) -> None:
    """Who lists an IPv6 address as systems write it (Kubernetes tells a pod its own so) means what Host has in
    brackets."""
    assert (await exchange(gate(("2001:DB8::7",)), [(b"host", b"[2001:db8::7]:8000")])).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "", " ", ":80", "a b", "localhost/", "user@localhost", "localhost:x", "localhost:123456", "::1", "[::1", "a,b",
        "\xe9", "localhost\x00", "a" * 254, ".", "[evil.com]", "localhost, localhost", "[.]", "[::::]", "[1.2.3.4]",
        "[::1]]", "[]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("allowed", [ALLOWED, ("*",)])
async def test_malformed(exchange: Any, host: str, allowed: tuple[str, ...]) -> None:
    """A Host that is none is refused even where any is allowed."""
    with pytest.raises(HostNotAllowed, match="well-formed"):
        await exchange(gate(allowed), [(b"host", host.encode("latin-1"))])


@pytest.mark.parametrize("headers", [[], [(b"host", b"localhost")] * 2])
async def test_not_exactly_one(exchange: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """No Host, or several, is refused (RFC 9112, 3.2)."""
    with pytest.raises(HostNotAllowed, match="exactly one"):
        await exchange(gate(), headers)


async def test_http_1_0(exchange: Any) -> None:
    """HTTP/1.0 may go without a Host, but not with a wrong one."""
    assert (await exchange(gate(), http_version="1.0")).status == 200
    with pytest.raises(HostNotAllowed):
        await exchange(gate(), [(b"host", b"evil.com")], http_version="1.0")


async def test_any(exchange: Any) -> None:
    """With `*` every name will do."""
    assert (await exchange(gate(("*",)), [(b"host", b"anything.at.all:1")])).status == 200


async def test_nothing_listed(exchange: Any) -> None:
    """Without any setting only loopback names are answered to."""
    app = HostMiddleware(reached, allowed_hosts=(), public_url="")
    assert (await exchange(app, [(b"host", b"localhost")])).status == 200
    with pytest.raises(HostNotAllowed):
        await exchange(app, [(b"host", b"app.example.com")])


def test_host_of() -> None:
    """The host is what is left without port, case and the root's dot."""
    assert host_of("EXAMPLE.com.:80") == "example.com"
    assert host_of("[::1]:80") == "[::1]"
    assert host_of("a" * 253) == "a" * 253
