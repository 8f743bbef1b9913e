"""Headers of every response that tell browsers what not to do with it.

`strict-transport-security` is left to the server that ends TLS: it binds a whole host name, not tidegate alone.
"""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.gate.response_headers import HEADERS

SECURITY_HEADERS = [
    # JSON and events hold text from models and users, which must never be taken for a page or a script.
    (b"x-content-type-options", b"nosniff"),
    # Paths and queries may hold tokens.
    (b"referrer-policy", b"no-referrer"),
    # An answer of the API, opened in a tab, can run nothing, load nothing, and not be framed. Pages bring a policy of
    # their own, and programs ignore it.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # Only for requests without CORS, as of <img> and <script>: no other site has a use for them here, and the answer
    # stays out of that site's process. Requests with CORS, module scripts included, are not affected.
    (b"cross-origin-resource-policy", b"same-origin"),
    # The default for responses that set none: answers are for one caller, who may be known by a cookie alone.
    (b"cache-control", b"no-store"),
]


class SecurityHeadersMiddleware:
    """Adds `SECURITY_HEADERS`; a response's own headers of the same name win."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            scope[HEADERS] += SECURITY_HEADERS
        return self.app(scope, receive, send)
