"""Checks the Origin header: which web pages may use the server.

A browser lets any page send requests anywhere: it only keeps the answers from the page, and by then a generation has
been started or cancelled, even on a server that listens on loopback alone. But a page can neither leave out nor choose
the Origin of its requests.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.errors import OriginNotAllowed

ANY = "*"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SECURE = ("https", "wss")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_BELOW = "://*."
_NAMES = r"://[a-z0-9_-][a-z0-9._-]*\."


class Origins:
    """The server's own origin, and those of `allowed_origins`.

    `https://*.example.com` stands for all names below example.com, `*` for any origin, `null` included, which is that
    of files and of sandboxed frames.
    """

    def __init__(self, allowed_origins: Iterable[str], public_url: str) -> None:
        entries = [_normal(entry) for entry in allowed_origins]
        self.any = ANY in entries
        self._exact = frozenset(entry for entry in entries if _BELOW not in entry)
        self._below = [_below(entry) for entry in entries if _BELOW in entry]
        self._public = _origin_of(public_url) if public_url else None

    def __bool__(self) -> bool:
        """Whether any origin is allowed besides the server's own."""
        return bool(self._exact or self._below)

    def lists(self, origin: str) -> bool:
        """Whether `allowed_origins` has the origin."""
        if self.any:
            return True
        origin = _normal(origin)
        return origin in self._exact or any(pattern.fullmatch(origin) for pattern in self._below)

    def is_own(self, origin: str, scope: MutableMapping[str, Any]) -> bool:
        """Whether the origin is that of `public_url`, or that which the request was made to, HTTP or WebSocket.

        Behind a proxy that ends TLS, https is the server's own scheme, too.
        """
        origin = _normal(origin)
        return origin == self._public or origin in _asked(scope) or _is_own_to_browser(scope)

    def allows(self, origin: str, scope: MutableMapping[str, Any]) -> bool:
        """Whether pages of this origin may use the server."""
        return self.lists(origin) or self.is_own(origin, scope)


class OriginMiddleware:
    """Raises `OriginNotAllowed` for requests from other sites' pages that could change anything.

    A request without an Origin is not from a page. Requests that only read pass: browsers keep the answers back.
    """

    def __init__(self, app: ASGIApp, *, origins: Origins) -> None:
        self.app = app
        self.origins = origins

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if _may_change(scope):
            origin = sent_origin(scope)
            if origin is not None and not self.origins.allows(origin, scope):
                raise not_allowed(origin)
        return self.app(scope, receive, send)


def _may_change(scope: MutableMapping[str, Any]) -> bool:
    # Browsers let any page read from the WebSocket that it opened.
    return scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in _SAFE_METHODS)


def sent_origin(scope: MutableMapping[str, Any]) -> str | None:
    """The Origin header. Several are joined into one text, which no origin matches."""
    values = header_values(scope, b"origin")
    return ", ".join(values) if values else None


def not_allowed(origin: str) -> OriginNotAllowed:
    """The error for a page of this origin."""
    return OriginNotAllowed(f"Pages of {origin[:200]!r} may not use this server; server.allowed_origins lists who may.")


def header_values(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    """All values of a request header, its name in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _asked(scope: MutableMapping[str, Any]) -> Iterator[str]:
    """The origins that the request may have been made to."""
    scheme = "https" if scope.get("scheme") in _SECURE else "http"
    for host in header_values(scope, b"host"):
        yield _normal(f"{scheme}://{host}")
        yield _normal(f"https://{host}")


def _is_own_to_browser(scope: MutableMapping[str, Any]) -> bool:
    # Browsers know the name that they called, whatever a proxy made of Host; pages cannot set `sec-` headers (Fetch,
    # 2.2.2). And under `referrer-policy: no-referrer` a page's own beacon has the Origin `null` (Fetch, 3.2).
    return header_values(scope, b"sec-fetch-site") == ["same-origin"]


def _normal(origin: str) -> str:
    """The origin in lower case and without the scheme's default port, as browsers write it."""
    origin = origin.lower()
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], ""))


def _below(entry: str) -> re.Pattern[str]:
    scheme, _, rest = entry.partition(_BELOW)
    return re.compile(re.escape(scheme) + _NAMES + re.escape(rest))


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return _normal(f"{parts.scheme}://{parts.netloc}")
