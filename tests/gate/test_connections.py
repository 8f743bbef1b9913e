"""How many calls and sockets a caller has open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.core.connection import TURNED_AWAY
from tidegate.core.principal import NOBODY, Principal
from tidegate.errors import Overloaded, TooManyConnections
from tidegate.gate.connections import Connections, ConnectionsMiddleware, TurnedAwayMiddleware
from tidegate.gate.route_policy import PRINCIPAL, ROUTE
from tidegate.observe.base import LimitReached, Occurrence
from tidegate.observe.refusals import Refusals

pytestmark = pytest.mark.anyio

ANN = Principal("key:ann", frozenset(), "key:ann")
BOB = Principal("key:bob", frozenset(), "key:bob")


class Watching:
    def __init__(self) -> None:
        self.told: list[Occurrence] = []
        self.connections = Connections(2, Refusals(self), random=lambda: 0.5)

    def observe(self, occurrence: Occurrence) -> None:
        self.told.append(occurrence)


def scope_of(principal: Principal, *, events: bool = False, needs: str | None = "read") -> dict[str, Any]:
    route = SimpleNamespace(scope=needs, events=events, shared=False, limited=True, local=False)
    return {
        "type": "http",
        "client": ("192.0.2.7", 1),
        "query_string": b"",
        PRINCIPAL: principal,
        ROUTE: route,
    }


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})


async def called(app: Any, scope: dict[str, Any]) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, None, send)
    return sent


def test_each_caller_has_its_own() -> None:
    """The end of one makes room for another; nobody is refused for others."""
    connections = Watching().connections
    first, second = scope_of(ANN), scope_of(ANN)
    connections.enter(first, ANN)
    connections.enter(second, ANN)
    with pytest.raises(TooManyConnections) as refused:
        connections.enter(scope_of(ANN), ANN)
    assert refused.value.retry_after == 10
    connections.enter(scope_of(BOB), BOB)
    connections.leave(first)
    connections.leave(first)
    connections.enter(scope_of(ANN), ANN)
    assert len(connections) == 3


def test_a_socket_that_renews_its_credentials_counts_once() -> None:
    """However often it says who it is."""
    connections, scope = Watching().connections, scope_of(ANN)
    for _ in range(5):
        connections.enter(scope, ANN)
    connections.leave(scope)
    assert len(connections) == 0


async def test_a_call_too_many() -> None:
    """It is refused and told of; an `EventSource`, which would give up on that, is told to come back."""
    watching = Watching()
    app = ConnectionsMiddleware(ok, connections=watching.connections)
    for _ in range(2):
        assert (await called(app, scope_of(ANN)))[0]["status"] == 204
    with pytest.raises(TooManyConnections):
        await called(app, scope_of(ANN))
    start, body = await called(app, scope_of(ANN, events=True))
    assert start["status"] == 200
    assert b"event: reconnect" in body["body"]
    assert watching.told == [LimitReached("connections_per_principal", "key:ann", "192.0.2.7")]
    assert (await called(app, scope_of(NOBODY, needs=None)))[0]["status"] == 204


async def test_who_is_turned_away_learns_nothing_else() -> None:
    """Whatever it asks for, before anything is looked up for it."""
    app = TurnedAwayMiddleware(ok)
    with pytest.raises(Overloaded):
        await called(app, {**scope_of(ANN), TURNED_AWAY: Overloaded("full")})
    start, body = await called(app, {**scope_of(ANN, events=True), TURNED_AWAY: Overloaded("full")})
    assert start["status"] == 200
    assert b"retry: 5000" in body["body"] or b"5000" in body["body"]
    assert (await called(app, scope_of(ANN)))[0]["status"] == 204
