from __future__ import annotations

from typing import Any

import pytest

from tidegate.gate.response_headers import HEADERS, ResponseHeadersMiddleware, merged

pytestmark = pytest.mark.anyio


async def answer(scope: Any, receive: Any, send: Any) -> None:
    scope[HEADERS].append((b"c", b"d"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    scope[HEADERS].append((b"late", b"lost"))
    await send({"type": "http.response.body", "body": b"x"})


async def test_added(exchange: Any) -> None:
    """What is in the list when the response starts goes out with it; the body is left alone."""
    found = await exchange(ResponseHeadersMiddleware(answer))
    assert found.messages[0]["headers"] == [(b"a", b"b"), (b"c", b"d")]
    assert found.messages[1:] == [{"type": "http.response.body", "body": b"x"}]


async def test_late(exchange: Any) -> None:
    """What is a function is asked when the response starts."""
    left = [3]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope[HEADERS] += [(b"a", b"1"), lambda: [(b"left", b"%d" % left[0])], (b"z", b"2")]
        left[0] = 2
        await send({"type": "http.response.start", "status": 200})

    found = await exchange(ResponseHeadersMiddleware(app))
    assert found.messages[0]["headers"] == [(b"a", b"1"), (b"left", b"2"), (b"z", b"2")]


async def test_each_request_has_its_own(exchange: Any) -> None:
    """Nothing of one response is in the next."""
    app = ResponseHeadersMiddleware(answer)
    await exchange(app)
    assert (await exchange(app)).messages[0]["headers"] == [(b"a", b"b"), (b"c", b"d")]


async def test_a_response_without_headers(exchange: Any) -> None:
    """ASGI lets a response have none."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope[HEADERS].append((b"c", b"d"))
        await send({"type": "http.response.start", "status": 200})

    assert (await exchange(ResponseHeadersMiddleware(app))).headers == {b"c": b"d"}


def test_the_responses_own_stand() -> None:
    """A header that the response has is not added to, and keeps all of its lines."""
    own = [(b"set-cookie", b"1"), (b"set-cookie", b"2"), (b"content-security-policy", b"mine")]
    assert merged(own, [(b"content-security-policy", b"other"), (b"set-cookie", b"3")]) == own


@pytest.mark.parametrize(
    ("own", "added", "vary"),
    [
        ([b"accept-encoding"], [b"origin"], b"accept-encoding, origin"),
        ([], [b"origin", b"cookie"], b"origin, cookie"),
        ([b"a", b"b"], [], b"a, b"),
    ],
)
def test_vary_is_the_sum(own: list[bytes], added: list[bytes], vary: bytes) -> None:
    """The answer depends on all that anybody says it depends on."""
    fields = merged([(b"vary", value) for value in own], [(b"vary", value) for value in added])
    assert fields == [(b"vary", vary)]


async def test_no_request_passes() -> None:
    """What is no HTTP request passes untouched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, send))

    await ResponseHeadersMiddleware(app)({"type": "lifespan"}, None, print)  # type: ignore[arg-type]
    assert seen == [({"type": "lifespan"}, print)]
