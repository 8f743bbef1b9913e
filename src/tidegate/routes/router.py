"""Finds the handler of a request, checks who is calling, and lets it answer."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.principal import NOBODY, Principal
from tidegate.errors import MethodNotAllowed, NotFound
from tidegate.gate.auth import Authenticator, require
from tidegate.routes.call import Call, Context
from tidegate.routes.route import Route


class Resource:
    """What stands at one path: a route for each of its methods. HEAD is GET without the body, but not for events."""

    def __init__(self, routes: Iterable[Route], context: Context, authenticator: Authenticator) -> None:
        self._routes = {route.method: route for route in routes}
        self._context = context
        self._authenticator = authenticator
        self._allow = [*self._routes, *(["HEAD"] if self._has_head() else [])]

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        method = scope["method"]
        if method not in self._allow:
            allow = ", ".join(sorted(self._allow))
            raise MethodNotAllowed(f"{method} is not among the methods of this path: {allow}", allow=allow)
        route = self._routes["GET" if method == "HEAD" else method]
        call = Call(self._context, scope, receive, send, self._principal(route, scope))
        return route.handler(call)

    def _has_head(self) -> bool:
        return "GET" in self._routes and not self._routes["GET"].events

    def _principal(self, route: Route, scope: Scope) -> Principal:
        if route.scope is None:
            return NOBODY
        principal = self._authenticator.authenticate(scope, allow_query=route.events)
        require(principal, route.scope)
        return principal


def router(routes: Iterable[Route], context: Context, authenticator: Authenticator) -> ASGIApp:
    """An ASGI application for the routes. Raises typed errors, which the gate answers."""
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    return Router(
        [StarletteRoute(path, Resource(at, context, authenticator)) for path, at in by_path.items()],
        redirect_slashes=False,
        default=_nothing,
    ).app


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound("there is nothing at this path")
