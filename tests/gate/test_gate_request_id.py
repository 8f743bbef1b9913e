from __future__ import annotations

from typing import Any

import pytest

from tidegate.core.request_id import current_request_id
from tidegate.gate.request_id import RequestIdMiddleware
from tidegate.gate.response_headers import ResponseHeadersMiddleware

pytestmark = pytest.mark.anyio


async def tell(scope: Any, receive: Any, send: Any) -> None:
    assert scope["tidegate.request_id"] == current_request_id.get()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": scope["tidegate.request_id"].encode()})


def gate(**more: Any) -> ResponseHeadersMiddleware:
    return ResponseHeadersMiddleware(RequestIdMiddleware(tell, **more))


async def test_made(exchange: Any) -> None:
    """A request without an id gets one, the same in the scope, in the log lines and in the answer."""
    answer = await exchange(gate(random_bytes=lambda n: b"\x01" * n))
    assert answer.body == answer.headers[b"x-request-id"] == b"req_" + b"01" * 16
    assert answer.headers[b"a"] == b"b"


async def test_kept(exchange: Any) -> None:
    """The client's own id is kept."""
    answer = await exchange(gate(), [(b"x-request-id", b"mine")])
    assert answer.body == answer.headers[b"x-request-id"] == b"mine"


async def test_unfit_is_replaced(exchange: Any) -> None:
    """An unfit id is replaced, and two requests never share one."""
    app = gate()
    ids = {(await exchange(app, [(b"x-request-id", b"a b")])).headers[b"x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(len(each) == 36 for each in ids)


async def test_lifespan_passes() -> None:
    """What is no request passes untouched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await RequestIdMiddleware(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
