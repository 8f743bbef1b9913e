from __future__ import annotations

from typing import Any

import msgspec
import pytest
from clock_kit import Clock
from starlette.types import Receive, Send

from tidegate.core.bucket import Buckets
from tidegate.core.principal import Principal, Scope
from tidegate.core.sse import Decoder
from tidegate.errors import RateLimited, TokensExhausted
from tidegate.gate.failures import FailureMiddleware
from tidegate.gate.limits import LimitMiddleware, duration
from tidegate.gate.response_headers import ResponseHeadersMiddleware
from tidegate.gate.route_policy import PRINCIPAL, ROUTE

pytestmark = pytest.mark.anyio


class RoutePolicy(msgspec.Struct, frozen=True):
    scope: Scope | None = "read"
    events: bool = False
    shared: bool = False
    limited: bool = True


class Limited:
    """An application behind the limits, called as an account."""

    def __init__(self, requests: Buckets | None, tokens: Buckets | None = None, used: int = 0) -> None:
        self.clock = Clock()
        self.route = RoutePolicy()
        self.account = "a"
        self.calls = 0

        async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            self.calls += 1
            if tokens is not None:
                tokens.of(scope[PRINCIPAL].account, self.clock()).take(used, self.clock())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        inner = LimitMiddleware(app, requests=requests, tokens=tokens, clock=self.clock)

        async def routed(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            scope[ROUTE] = self.route
            scope[PRINCIPAL] = Principal("p", frozenset(), self.account)
            await inner(scope, receive, send)

        self.app = ResponseHeadersMiddleware(routed)


def limits(exchange: Any, of: str) -> list[str]:
    return [exchange.headers[f"x-ratelimit-{what}-{of}".encode()].decode() for what in ("limit", "remaining", "reset")]


async def test_headers(exchange: Any) -> None:
    """Every answer says the limit of a minute, how many requests are left at once, and when all will be."""
    limited = Limited(Buckets(1, 3))
    await exchange(limited.app)
    assert limits(exchange, "requests") == ["60", "2", "1s"]
    await exchange(limited.app)
    assert limits(exchange, "requests") == ["60", "1", "2s"]
    limited.clock.now = 0.25
    await exchange(limited.app)
    assert limits(exchange, "requests") == ["60", "0", "2.75s"]


async def test_refused(exchange: Any) -> None:
    """Who has none left is refused before anything is done, and is let in after the wait that it is told."""
    limited = Limited(Buckets(1, 1))
    await exchange(limited.app)
    with pytest.raises(RateLimited) as refused:
        await exchange(limited.app)
    assert limited.calls == 1
    assert refused.value.retry_after == 1
    limited.clock.now = 1
    await exchange(limited.app)
    assert limited.calls == 2


async def test_each_account_has_its_own(exchange: Any) -> None:
    """One caller's flood takes nothing from another."""
    limited = Limited(Buckets(1, 1))
    await exchange(limited.app)
    for _ in range(100):
        with pytest.raises(RateLimited):
            await exchange(limited.app)
    limited.account = "b"
    await exchange(limited.app)
    assert limited.calls == 2


async def test_refused_reader(exchange: Any) -> None:
    """An `EventSource`, which would give up on 429, gets 200, `retry` and `reconnect`."""
    limited = Limited(Buckets(0.5, 1))
    limited.route = RoutePolicy(events=True)
    await exchange(limited.app)
    await exchange(limited.app)
    assert limited.calls == 1
    assert exchange.status == 200
    assert exchange.headers[b"content-type"] == b"text/event-stream"
    events = Decoder().feed(exchange.body)
    assert [(event.event, event.data) for event in events] == [("reconnect", '{"after_ms":2000,"reason":"capacity"}')]
    assert events[0].retry_ms == 2000
    for query, name in ((b"events=message", "message"), (b"events=%F1%BA%A5%BB", "reconnect"), (b"\xff", "reconnect")):
        await exchange(limited.app, query=query)
        assert [event.event for event in Decoder().feed(exchange.body)] == [name]


@pytest.mark.parametrize("route", [RoutePolicy(None), RoutePolicy(limited=False)])
async def test_not_limited(exchange: Any, route: RoutePolicy) -> None:
    """What is open to all, and a producer's appends, do not count."""
    limited = Limited(Buckets(1, 1))
    limited.route = route
    for _ in range(3):
        await exchange(limited.app)
    assert limited.calls == 3
    assert b"x-ratelimit-limit-requests" not in exchange.headers


async def test_tokens(exchange: Any) -> None:
    """What is left of the tokens is told as it is once this very generation has been let in."""
    limited = Limited(None, Buckets(10, 600), used=150)
    await exchange(limited.app)
    assert limits(exchange, "tokens") == ["600", "450", "15s"]
    assert b"x-ratelimit-limit-requests" not in exchange.headers


async def test_tokens_of_a_refusal(exchange: Any, recorder: Any) -> None:
    """A refusal says what is left, too: most of all the one for want of tokens."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope |= {ROUTE: RoutePolicy(), PRINCIPAL: Principal("p", frozenset(), "a")}
        await LimitMiddleware(refuse, requests=None, tokens=Buckets(10, 600), clock=Clock())(scope, receive, send)

    async def refuse(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        raise TokensExhausted("none left", retry_after=1)

    await exchange(ResponseHeadersMiddleware(FailureMiddleware(app, observer=recorder)))
    assert exchange.error["code"] == "tokens_exhausted"
    assert limits(exchange, "tokens") == ["600", "600", "0ms"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0001, "1ms"), (0.12, "120ms"), (1, "1s"), (1.2345, "1.235s"), (60, "1m0s"), (90.5, "1m30.5s"),
     (3600, "1h0m0s"), (3723.001, "1h2m3.001s")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    """Durations are written as OpenAI writes them, and never too short."""
    assert duration(seconds) == text
