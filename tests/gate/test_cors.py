from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import NotFound
from tidegate.gate.cors import EXPOSED, CorsMiddleware
from tidegate.gate.failures import FailureMiddleware
from tidegate.gate.host import HostMiddleware
from tidegate.gate.origin import OriginMiddleware, Origins
from tidegate.gate.request_id import RequestIdMiddleware
from tidegate.gate.response_headers import ResponseHeadersMiddleware

pytestmark = pytest.mark.anyio

HOST = (b"host", b"localhost:8000")
LISTED = (b"origin", b"https://app.example.com")
OTHER = (b"origin", b"https://evil.com")
OWN = (b"origin", b"http://localhost:8000")
PREFLIGHT = (b"access-control-request-method", b"POST")


async def reached(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"vary", b"accept-encoding")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise NotFound("nothing here")


@pytest.fixture
def gate(recorder: Any) -> Any:
    """The gate as it stands in the product, as far as CORS is concerned."""

    def stacked(*listed: str, app: Any = reached) -> Any:
        origins = Origins(listed, "")
        app = OriginMiddleware(app, origins=origins)
        app = CorsMiddleware(app, origins=origins, max_age=600)
        app = HostMiddleware(app, allowed_hosts=(), public_url="")
        app = FailureMiddleware(app, observer=recorder)
        return ResponseHeadersMiddleware(RequestIdMiddleware(app))

    return stacked


def cors(answer: Any) -> set[bytes]:
    return {name for name in answer.headers if name.startswith(b"access-control-")}


@pytest.mark.parametrize("app", [reached, failing])
async def test_an_answer_can_be_read(exchange: Any, gate: Any, app: Any) -> None:
    """A page of a listed origin reads answers and errors, and the headers that clients need."""
    answer = await exchange(gate("https://app.example.com", app=app), [HOST, LISTED])
    assert answer.headers[b"access-control-allow-origin"] == LISTED[1]
    exposed = answer.headers[b"access-control-expose-headers"].decode().split(", ")
    assert exposed == list(EXPOSED)
    assert {"location", "tidegate-stream", "x-request-id", "retry-after-ms", "x-should-retry"} <= {*exposed}
    assert "x-ratelimit-reset-tokens" in exposed
    assert b"access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origins", [[], [OTHER], [OWN], [LISTED, OTHER]])
async def test_nobody_else_is_told(exchange: Any, gate: Any, origins: list[tuple[bytes, bytes]]) -> None:
    """Programs and the server's own pages need no leave, and pages of others get none."""
    assert cors(await exchange(gate("https://app.example.com"), [HOST, *origins])) == set()


@pytest.mark.parametrize("origins", [[], [OTHER], [OWN], [LISTED]])
async def test_caches_know_what_it_depends_on(exchange: Any, gate: Any, origins: list[tuple[bytes, bytes]]) -> None:
    """Where there are listed origins every answer depends on the Origin, also one to a request without."""
    answer = await exchange(gate("https://app.example.com"), [HOST, *origins])
    assert answer.headers[b"vary"] == b"accept-encoding, origin"
    for same_for_all in ((), ("*",)):
        answer = await exchange(gate(*same_for_all), [HOST, *origins])
        assert answer.headers[b"vary"] == b"accept-encoding"


@pytest.mark.parametrize("origins", [[], [OTHER], [OWN], [(b"origin", b"null")]])
async def test_any(exchange: Any, gate: Any, origins: list[tuple[bytes, bytes]]) -> None:
    """With `*` the answer is the same for all."""
    answer = await exchange(gate("*"), [HOST, *origins], method="POST")
    assert answer.headers[b"access-control-allow-origin"] == b"*"


async def test_preflight(exchange: Any, gate: Any) -> None:
    """A page of a listed origin is told what it may send, and for how long it need not ask again."""
    asked = (b"access-control-request-headers", b"authorization, Content-Type")
    answer = await exchange(gate("https://app.example.com"), [HOST, LISTED, PREFLIGHT, asked], method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers[b"access-control-allow-origin"] == LISTED[1]
    assert answer.headers[b"access-control-allow-methods"] == b"GET, HEAD, POST, DELETE"
    assert answer.headers[b"access-control-allow-headers"] == b"authorization, content-type"
    assert answer.headers[b"access-control-max-age"] == b"600"
    assert answer.headers[b"vary"] == b"origin"
    assert b"x-request-id" in answer.headers


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (b"idempotency-key,last-event-id,accept", b"idempotency-key, last-event-id, accept"),
        (b"traceparent, tracestate, x-request-id", b"traceparent, tracestate, x-request-id"),
        (b"tidegate-on-disconnect,user-agent", b"tidegate-on-disconnect, user-agent"),
        (b"Cache-Control,X-Requested-With", b"cache-control, x-requested-with"),
        (b"x-stainless-lang,openai-beta,x-stainless-", b"x-stainless-lang, openai-beta"),
        (b"cookie,x-evil,authorization", b"authorization"),
        (b"x-evil, ,openai-a b", None),
        (None, None),
    ],
)
async def test_headers_that_may_be_sent(exchange: Any, gate: Any, asked: bytes | None, allowed: bytes | None) -> None:
    """Those of our clients and of OpenAI's SDKs, and no others."""
    headers = [] if asked is None else [(b"access-control-request-headers", asked)]
    answer = await exchange(gate("*"), [HOST, OTHER, PREFLIGHT, *headers], method="OPTIONS")
    assert answer.status == 204
    assert answer.headers.get(b"access-control-allow-headers") == allowed


@pytest.mark.parametrize("listed", [(), ("https://app.example.com",)])
async def test_preflight_of_another(exchange: Any, gate: Any, listed: tuple[str, ...]) -> None:
    """A page of another origin is refused, and cannot even read so."""
    answer = await exchange(gate(*listed), [HOST, OTHER, PREFLIGHT], method="OPTIONS")
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert cors(answer) == set()


async def test_preflight_for_another_host(exchange: Any, gate: Any) -> None:
    """A Host that is not allowed is refused first, whatever the origin."""
    answer = await exchange(gate("*"), [(b"host", b"evil.com"), OTHER, PREFLIGHT], method="OPTIONS")
    assert (answer.status, answer.error["code"]) == (400, "host_not_allowed")
    assert cors(answer) == set()


@pytest.mark.parametrize("headers", [[LISTED], [PREFLIGHT], []])
async def test_options_that_are_no_preflight(exchange: Any, gate: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """OPTIONS without an Origin or a method to ask for goes its way."""
    answer = await exchange(gate("https://app.example.com"), [HOST, *headers], method="OPTIONS")
    assert answer.status == 200


async def test_a_refused_request_cannot_be_read(exchange: Any, gate: Any) -> None:
    """What the origin's check refuses has no leave to be read either."""
    answer = await exchange(gate("https://app.example.com"), [HOST, OTHER], method="POST")
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert cors(answer) == set()


async def test_no_request_passes() -> None:
    """What is no HTTP request passes untouched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    app_ = CorsMiddleware(app, origins=Origins((), ""), max_age=0)
    await app_({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
