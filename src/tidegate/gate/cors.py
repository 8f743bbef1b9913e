"""Lets pages of other origins read the answers: cross-origin resource sharing, as the Fetch standard has it (3.3).

Never with credentials: the cookie is for the server's own pages. Other pages send the authorization header.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.gate.origin import ANY, Origins, header_values, not_allowed, sent_origin
from tidegate.gate.response_headers import HEADERS

METHODS = b"GET, HEAD, POST, DELETE"

# The headers that our own clients, OpenAI's SDKs and polyfills of `EventSource` send from a page. Browsers that let a
# page set `user-agent` ask for it, too.
REQUEST_HEADERS = frozenset(
    {
        "accept",
        "authorization",
        "cache-control",
        "content-type",
        "idempotency-key",
        "last-event-id",
        "tidegate-on-disconnect",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-request-id",
        "x-requested-with",
    }
)

# OpenAI's SDKs add new headers with these prefixes.
_OF_SDKS = re.compile(r"(?:openai|x-stainless)-[a-z0-9-]+")

EXPOSED = (
    "location",
    "tidegate-stream",
    "x-request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(f"x-ratelimit-{part}-{of}" for of in ("requests", "tokens") for part in ("limit", "remaining", "reset")),
)
"""Response headers that a page may read besides those that every page may."""

_ALLOW = b"access-control-allow-origin"
_EXPOSE = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_VARY = (b"vary", b"origin")


class CorsMiddleware:
    """Adds CORS headers to the answers, errors included, to listed origins; answers preflights.

    The server's own pages need no such headers, and get none. Raises `OriginNotAllowed` for a preflight of an origin
    that is not listed. `max_age` is how long browsers may cache a preflight, in seconds.
    """

    def __init__(self, app: ASGIApp, *, origins: Origins, max_age: int) -> None:
        self.app = app
        self.origins = origins
        self.max_age = max_age

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        origin = sent_origin(scope)
        listed = origin is not None and self.origins.lists(origin)
        preflight = scope["method"] == "OPTIONS" and header_values(scope, b"access-control-request-method")
        scope[HEADERS] += self._sharing(origin if listed else None)
        if origin is not None and preflight and not listed:
            raise not_allowed(origin)
        return self._permit(scope, send) if listed and preflight else self.app(scope, receive, send)

    def _sharing(self, listed: str | None) -> list[tuple[bytes, bytes]]:
        if self.origins.any:
            return [(_ALLOW, ANY.encode()), _EXPOSE]
        if not self.origins:
            return []
        # `vary` without a listed origin, too: a cache must not answer one origin with what it has for another.
        return [_VARY] if listed is None else [_VARY, (_ALLOW, listed.encode("latin-1")), _EXPOSE]

    async def _permit(self, scope: Scope, send: Send) -> None:
        headers = [(b"access-control-allow-methods", METHODS), (b"access-control-max-age", b"%d" % self.max_age)]
        if names := [name for name in _requested(scope) if may_send(name)]:
            headers.append((b"access-control-allow-headers", ", ".join(names).encode("latin-1")))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def may_send(name: str) -> bool:
    """Whether a page may send this header, its name in lower case."""
    return name in REQUEST_HEADERS or _OF_SDKS.fullmatch(name) is not None


def _requested(scope: Scope) -> Iterator[str]:
    for value in header_values(scope, b"access-control-request-headers"):
        yield from (name.strip().lower() for name in value.split(","))
