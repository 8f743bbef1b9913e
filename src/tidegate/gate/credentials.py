"""Finds the credentials in a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from tidegate.core.query import parameters
from tidegate.errors import Unauthenticated

COOKIE = "tidegate_token"
BEARER = "bearer."

_OWN_PAGES = (b"same-origin", b"none")

Headers = Iterable[tuple[bytes, bytes]]


def presented(scope: MutableMapping[str, Any], *, allow_query: bool, allow_cookie: bool, strict: bool) -> str | None:
    """The token of `authorization: Bearer TOKEN`, of `?access_token=TOKEN`, or of the cookie of the server's own pages.

    `allow_query` is for GET routes that answer with events, since `EventSource` cannot set headers. The cookie counts
    only in requests from the server's own pages: browsers send it with those from other pages, too.
    A malformed header, or one of another scheme, raises `Unauthenticated` if `strict`; otherwise it is ignored.
    """
    headers: Headers = scope["headers"]
    found = _bearer(headers, strict=strict)
    if found is None and allow_query:
        found = _access_token(scope["query_string"])
    if found is None and allow_cookie and _is_of_own_page(headers):
        found = next(_cookies(headers), None)
    return found


def by_subprotocol(scope: MutableMapping[str, Any]) -> str | None:
    """The token in the WebSocket subprotocol `bearer.TOKEN`: pages cannot set the headers of a handshake."""
    offered: list[str] = scope.get("subprotocols") or []
    found = [name.removeprefix(BEARER) for name in offered if name.startswith(BEARER)]
    return found[0] if found and found[0] else None


def _bearer(headers: Headers, *, strict: bool) -> str | None:
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return None
    scheme, _, token = values[0].partition(b" ")
    if len(values) == 1 and scheme.lower() == b"bearer" and token.strip():
        return token.strip().decode("latin-1")
    if strict:
        raise Unauthenticated("The authorization header must be, once: Bearer TOKEN.")
    return None


def _access_token(query: bytes) -> str | None:
    return next((value for name, value in parameters(query) if name == "access_token" and value), None)


def _cookies(headers: Headers) -> Iterator[str]:
    # RFC 6265, 5.4: pairs between semicolons; browsers send one field, HTTP/2 may split it (RFC 9113, 8.2.3).
    for name, value in headers:
        for pair in value.decode("latin-1").split(";") if name == b"cookie" else ():
            key, _, content = pair.strip().partition("=")
            if key == COOKIE and content:
                yield content


def _is_of_own_page(headers: Headers) -> bool:
    return all(value in _OWN_PAGES for name, value in headers if name == b"sec-fetch-site")
