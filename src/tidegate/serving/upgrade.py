"""Which requests for an upgrade ask for a WebSocket (RFC 9110, 7.8; RFC 6455, 4.2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Field = tuple[bytes, bytes]

WEBSOCKET = b"websocket"


def asks_for_websocket(method: bytes, http_version: str, headers: Sequence[Field]) -> bool:
    """Whether a request for an upgrade asks for a WebSocket: a GET of HTTP/1.1 without a body."""
    if method != b"GET" or http_version != "1.1":
        return False
    return WEBSOCKET in _upgrades(headers) and not any(_announces_body(*field) for field in headers)


def _upgrades(headers: Iterable[Field]) -> list[bytes]:
    """The protocols that a client offers to upgrade to, in lower case, from all `upgrade` fields (RFC 9110, 7.8)."""
    values = b",".join(value for name, value in headers if name == b"upgrade")
    return [protocol.strip(b" \t").lower() for protocol in values.split(b",")]


def _announces_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
