from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import NotFound
from tidegate.gate.failures import FailureMiddleware
from tidegate.gate.response_headers import ResponseHeadersMiddleware
from tidegate.gate.security_headers import SecurityHeadersMiddleware

pytestmark = pytest.mark.anyio


def gate(app: Any, recorder: Any) -> Any:
    return ResponseHeadersMiddleware(FailureMiddleware(SecurityHeadersMiddleware(app), observer=recorder))


def answering(*headers: tuple[bytes, bytes]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})

    return app


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise NotFound("nothing here")


@pytest.mark.parametrize("app", [answering(), failing])
async def test_every_response(exchange: Any, recorder: Any, app: Any) -> None:
    """No answer, and no error, is taken for a page, tells where its reader was, or is kept by a cache."""
    headers = (await exchange(gate(app, recorder))).headers
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"content-security-policy"] == b"default-src 'none'; frame-ancestors 'none'"
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"
    assert headers[b"cache-control"] == b"no-store"


async def test_what_pages_say_themselves(exchange: Any, recorder: Any) -> None:
    """A page has the policy that it brings, and no other beside it: browsers would enforce both."""
    own = [(b"content-security-policy", b"default-src 'self'"), (b"cache-control", b"no-cache")]
    found = (await exchange(gate(answering(*own), recorder))).messages[0]["headers"]
    assert [field for field in found if field[0] in (b"content-security-policy", b"cache-control")] == own


async def test_no_request_passes() -> None:
    """What is no HTTP request passes untouched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await SecurityHeadersMiddleware(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
