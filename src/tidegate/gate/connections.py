"""Limits how many calls, event streams and sockets a caller may have open at the same time."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.connection import TURNED_AWAY
from tidegate.core.principal import Principal
from tidegate.errors import TidegateError, TooManyConnections
from tidegate.gate.reconnect import answer_reconnect
from tidegate.gate.route_policy import PRINCIPAL, ROUTE, RoutePolicy
from tidegate.observe.refusals import Refusals

COUNTED = "tidegate.counted"
"""The key in an ASGI scope of the account that the call counts for."""

AGAIN_SECONDS = (5.0, 15.0)
"""The range of `retry-after`: long, since streams last long, and spread, so that refused clients do not all return
at once."""


class Connections:
    """Counts open connections by account, `most` each; 0 is no limit. `random` draws from [0, 1)."""

    def __init__(self, most: int, refusals: Refusals, *, random: Callable[[], float] = random.random) -> None:
        self._most = most
        self._refusals = refusals
        self._random = random
        self._open: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._open.values())

    def enter(self, scope: MutableMapping[str, Any], principal: Principal) -> None:
        """Counts the call or socket until `leave`, once even if repeated. Raises `TooManyConnections`."""
        account = principal.account
        if not self._most or COUNTED in scope:
            return
        there_are = self._open.get(account, 0)
        if there_are >= self._most:
            client = scope.get("client")
            self._refusals.tell("connections_per_principal", account, client and client[0])
            low, high = AGAIN_SECONDS
            raise TooManyConnections(
                f"{self._most} connections of yours are open, which is the limit",
                retry_after=low + (high - low) * self._random(),
            )
        self._open[account] = there_are + 1
        scope[COUNTED] = account

    def leave(self, scope: MutableMapping[str, Any]) -> None:
        """The call or socket is over. Harmless where it was not counted."""
        account = scope.pop(COUNTED, None)
        if account is not None:
            left = self._open[account] - 1
            if left:
                self._open[account] = left
            else:
                del self._open[account]


class ConnectionsMiddleware:
    """Raises `TooManyConnections`, or tells an `EventSource` to reconnect. `AccessMiddleware` calls `leave`.

    Routes that are open to all are not counted: their answers are short, and the connection counts for its address
    while requests arrive.
    """

    def __init__(self, app: ASGIApp, *, connections: Connections) -> None:
        self.app = app
        self.connections = connections

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route: RoutePolicy = scope[ROUTE]
        if route.scope is not None:
            try:
                self.connections.enter(scope, scope[PRINCIPAL])
            except TooManyConnections as error:
                return refuse(error, scope, send)
        return self.app(scope, receive, send)


class TurnedAwayMiddleware:
    """Raises the error of a connection that the server turns away, or tells an `EventSource` to reconnect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        error: TidegateError | None = scope.get(TURNED_AWAY)
        return self.app(scope, receive, send) if error is None else refuse(error, scope, send)


def refuse(error: TidegateError, scope: Scope, send: Send) -> Awaitable[None]:
    """Raises the error; where events were asked for, answers `reconnect`, since an `EventSource` would give up."""
    route: RoutePolicy = scope[ROUTE]
    if not route.events:
        raise error
    return answer_reconnect(scope, send, error.retry_after or 0, error.code)
