"""What the gate has to know of a route; `routes` has them, and puts the one that was asked for into the scope."""

from __future__ import annotations

from typing import Protocol

from tidegate.core.principal import Scope

ROUTE = "tidegate.route"
"""Where in an ASGI scope the route is."""

PRINCIPAL = "tidegate.principal"
"""Where the caller is, once known."""


class RoutePolicy(Protocol):
    """`scope` None: open to all, and never limited; `or_scopes` open it, too. `events`: a GET that answers with events.

    `shared`: a share token of the stream in its path opens it, too. `limited`: it counts as a request.
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
