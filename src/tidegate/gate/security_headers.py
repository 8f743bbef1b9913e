"""What every response tells browsers not to do with it.

`strict-transport-security` is left to whoever ends TLS: it binds a whole host name, which is not tidegate's alone.
"""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.gate.response_headers import HEADERS

SECURITY_HEADERS = [
    # JSON and events hold text that models and users wrote: it is never to be taken for a page or a script.
    (b"x-content-type-options", b"nosniff"),
    # Paths and queries may hold tokens.
    (b"referrer-policy", b"no-referrer"),
    # Opened in a tab, an answer of the API runs and loads nothing and is nobody's frame. Pages bring a policy of their
    # own, and programs do not look at it.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # For requests without CORS alone, as of <img> and <script>: no other site has a use for those here, and the answer
    # stays out of its process. What CORS allows, module scripts included, is not affected.
    (b"cross-origin-resource-policy", b"same-origin"),
    # For what does not say itself how it may be kept: answers are to one caller, who may be known by a cookie alone.
    (b"cache-control", b"no-store"),
]


class SecurityHeadersMiddleware:
    """Adds `SECURITY_HEADERS`; what a response says of the same itself stands."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            scope[HEADERS] += SECURITY_HEADERS
        return self.app(scope, receive, send)
