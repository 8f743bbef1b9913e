from __future__ import annotations

from typing import Any

import pytest

from tidegate.gate.leaving import LeavingMiddleware
from tidegate.gate.response_headers import ResponseHeadersMiddleware

pytestmark = pytest.mark.anyio


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})


@pytest.mark.parametrize(
    ("leaving", "version", "expected"), [(True, "1.1", True), (False, "1.1", False), (True, "2", False)]
)
async def test_a_server_that_leaves_keeps_no_connection(
    exchange: Any, leaving: bool, version: str, expected: bool
) -> None:
    """The next request comes over another one, and so to another server; HTTP/2 knows no such header."""
    app = ResponseHeadersMiddleware(LeavingMiddleware(answer, is_leaving=lambda: leaving))
    found = await exchange(app, http_version=version)
    assert found.headers == ({b"connection": b"close"} if expected else {})
