"""What the gate has to know of a route. The `routes` room puts the route of each request into its scope."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from tidegate.core.principal import Scope

ROUTE = "tidegate.route"
"""The key of the route in an ASGI scope."""

PRINCIPAL = "tidegate.principal"
"""The key of the caller in an ASGI scope, once authenticated."""


class RoutePolicy(Protocol):
    """The access rules of a route.

    `scope` None: open to all, and never limited; any of `or_scopes` grants access, too. `events`: a GET that answers
    with events. `shared`: a share token of the stream in its path grants access, too. `limited`: calls are counted.
    `local`: whoever calls from this machine needs no credentials.
    """

    @property
    def scope(self) -> Scope | None: ...

    @property
    def or_scopes(self) -> tuple[Scope, ...]: ...

    @property
    def events(self) -> bool: ...

    @property
    def shared(self) -> bool: ...

    @property
    def limited(self) -> bool: ...

    @property
    def local(self) -> bool: ...


def scopes_of(route: RoutePolicy) -> tuple[Scope, ...]:
    """The scopes of which a caller of the route has to have one. Equal ones are one object: each connection has it."""
    return _scopes(route.scope, route.or_scopes)


@lru_cache
def _scopes(scope: Scope | None, others: tuple[Scope, ...]) -> tuple[Scope, ...]:
    return others if scope is None else (scope, *others)
