"""Limits how many requests a caller may make: a token bucket for each account, and headers that say what is left.

The headers are those of OpenAI: `x-ratelimit-limit-…` is the limit per minute, `…-remaining-…` what is left at
once, `…-reset-…` the time until the bucket is full, as 1m2.5s or 120ms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.bucket import Buckets, TokenBucket
from tidegate.core.principal import Principal
from tidegate.errors import RateLimited
from tidegate.gate.reconnect import answer_reconnect
from tidegate.gate.response_headers import HEADERS, Field
from tidegate.gate.route_policy import PRINCIPAL, ROUTE, RoutePolicy

MINUTE = 60


class LimitMiddleware:
    """Raises `RateLimited`, or tells an `EventSource` to reconnect. Buckets are None where there is no limit.

    The engine takes from `tokens`; here they only appear in headers. `clock` is in seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        requests: Buckets | None,
        tokens: Buckets | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.requests = requests
        self.tokens = tokens
        self.clock = clock

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route: RoutePolicy = scope[ROUTE]
        if route.scope is None or not route.limited:
            return self.app(scope, receive, send)
        principal: Principal = scope[PRINCIPAL]
        if self.tokens is not None:
            # What is left is known only once the engine has admitted or refused the generation.
            scope[HEADERS].append(partial(self._left, self.tokens.of(principal.account, self.clock())))
        if self.requests is not None:
            wait_s = self._count(self.requests, principal.account, scope)
            if wait_s and route.events:
                return answer_reconnect(scope, send, wait_s, RateLimited.code)
            if wait_s:
                raise RateLimited(_refusal(self.requests), retry_after=wait_s)
        return self.app(scope, receive, send)

    def _count(self, requests: Buckets, account: str, scope: Scope) -> float:
        """Counts a request. Returns 0, or the seconds until the next may be made where none is left."""
        now = self.clock()
        bucket = requests.of(account, now)
        wait_s = 0.0 if bucket.take(1, now) else bucket.wait(1, now)
        scope[HEADERS] += _headers(b"requests", bucket, now)
        return wait_s

    def _left(self, bucket: TokenBucket) -> list[Field]:
        return _headers(b"tokens", bucket, self.clock())


def take_request(requests: Buckets | None, account: str, now: float) -> None:
    """Counts a request that the middleware does not count. Raises `RateLimited`."""
    if requests is not None and not (bucket := requests.of(account, now)).take(1, now):
        raise RateLimited(_refusal(requests), retry_after=bucket.wait(1, now))


def charge(requests: Buckets | None, account: str, now: float, *, credit: bool) -> Charge:
    """Takes a request that may be given back. Past the limit it is taken on `credit`, or raises `RateLimited`."""
    if requests is None:
        return Charge(None, "")
    bucket = requests.of(account, now)
    if bucket.take(1, now):
        return Charge(bucket, "")
    if credit and bucket.borrow(1, now):
        return Charge(bucket, _refusal(requests))
    raise RateLimited(_refusal(requests), retry_after=bucket.wait(1, now))


class Charge:
    """A request that was counted before it was known whether it has to be. `owed`: the refusal, if it was on credit."""

    def __init__(self, bucket: TokenBucket | None, owed: str) -> None:
        self._bucket = bucket
        self._owed = owed

    def give_back(self, now: float) -> None:
        """The request does not count: gives it back."""
        if self._bucket is not None:
            self._bucket.give_back(1, now)

    def keep(self, now: float) -> None:
        """The request counts. Raises `RateLimited` where it was taken on credit."""
        if self._owed and self._bucket is not None:
            raise RateLimited(self._owed, retry_after=self._bucket.wait(1, now))


def _headers(of: bytes, bucket: TokenBucket, now: float) -> list[Field]:
    return [
        (b"x-ratelimit-limit-" + of, b"%d" % round(bucket.rate * MINUTE)),
        (b"x-ratelimit-remaining-" + of, b"%d" % max(0, math.floor(bucket.level(now) + 1e-6))),
        (b"x-ratelimit-reset-" + of, duration(bucket.until_full(now)).encode()),
    ]


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `1h2m3s`, `1m30.5s`, `1.25s`, `120ms`. Rounded up to the millisecond."""
    ms = math.ceil(seconds * 1000 - 1e-6)
    if ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + f"{ms / 1000:g}s"


def _refusal(requests: Buckets) -> str:
    per_minute, burst = round(requests.rate * MINUTE), round(requests.capacity)
    return f"You may make {per_minute} requests a minute, and {burst} of them at once: see retry-after."
