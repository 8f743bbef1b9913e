"""Checks the Host header: which names the server answers to.

Listening on loopback alone does not keep web pages out: a page may let its own name resolve to 127.0.0.1 (DNS
rebinding) and is then of the same origin. But it cannot change the Host header.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.errors import HostNotAllowed

# RFC 3986, 3.2.2, without the characters that no DNS name has.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-][a-z0-9._-]*?)\.?(?::[0-9]{0,5})?")
_MAX_HOST = 253  # RFC 1035, 2.3.4, as text
_LOOPBACK = re.compile(r"(?:.+\.)?localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")


class HostMiddleware:
    """Raises `HostNotAllowed` for any Host but loopback names, that of `public_url`, and `allowed_hosts`.

    Ports do not matter. `*.example.com` stands for all names below example.com, `*` for any Host there is. An address
    of IPv6 may be listed without brackets.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str], public_url: str) -> None:
        self.app = app
        entries = [entry.lower() for entry in allowed_hosts]
        self.any = "*" in entries
        self.suffixes = tuple(entry[1:] for entry in entries if entry.startswith("*."))
        self.names = {host_of(_bracketed(entry)) for entry in entries if not entry.startswith("*")}
        if public_url:
            self.names.add(host_of(urlsplit(public_url).netloc))

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            self._check(scope)
        return self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        values: list[bytes] = [value for name, value in scope["headers"] if name == b"host"]
        # HTTP/1.0 has no Host, and some health checks use it. Browsers, which rebinding needs, always send one.
        if not values and scope["http_version"] == "1.0":
            return
        host = host_of(values[0].decode("latin-1")) if len(values) == 1 else None
        if host is None:
            raise HostNotAllowed("A request needs exactly one well-formed Host header.")
        if not self._allows(host):
            raise HostNotAllowed(f"This server does not answer to {host!r}; server.allowed_hosts lists what it does.")

    def _allows(self, host: str) -> bool:
        return self.any or host in self.names or _LOOPBACK.fullmatch(host) is not None or host.endswith(self.suffixes)


def host_of(value: str) -> str | None:
    """The host of `HOST[:PORT]`, in lower case and without a final dot; None where it is not valid."""
    match = _HOST.fullmatch(value.strip().lower())
    host = match[1] if match else ""
    return host if 0 < len(host) <= _MAX_HOST and (host[0] != "[" or _is_ipv6(host[1:-1])) else None


def _bracketed(entry: str) -> str:
    return f"[{entry}]" if _is_ipv6(entry) else entry


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
