"""Finds the route of a request, passes it through the gate's checks, and calls its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from starlette._utils import get_route_path
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.errors import MethodNotAllowed, NotFound
from tidegate.gate.connections import TurnedAwayMiddleware
from tidegate.gate.route_policy import PRINCIPAL, ROUTE
from tidegate.routes.call import Call, Context
from tidegate.routes.route import Route
from tidegate.routes.socket import SOCKET, SocketResource

MODELS = b"/v1/models/"
"""The path before the name of a model, which may have slashes: OpenAI's clients encode them."""


class Resource:
    """The routes at one path, one for each method. HEAD is GET without the body, but not for events."""

    def __init__(self, routes: Iterable[Route], guarded: ASGIApp) -> None:
        self._routes = {route.method: route for route in routes}
        self._guarded = guarded
        self._allow = [*self._routes, *(["HEAD"] if self._has_head() else [])]

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        method = scope["method"]
        if method not in self._allow:
            allow = ", ".join(sorted(self._allow))
            raise MethodNotAllowed(f"{method} is not among the methods of this path: {allow}", allow=allow)
        scope[ROUTE] = self._routes["GET" if method == "HEAD" else method]
        return self._guarded(scope, receive, send)

    def _has_head(self) -> bool:
        return "GET" in self._routes and not self._routes["GET"].events


def router(routes: Iterable[Route], context: Context, guard: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
    """An ASGI application for the routes. It raises typed errors, which the gate answers.

    `guard` wraps an application in the part of the gate that has to know the route.
    """

    def called(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route: Route = scope[ROUTE]
        return route.handler(Call(context, scope, receive, send, scope[PRINCIPAL]))

    guarded = TurnedAwayMiddleware(guard(called))
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    socket = WebSocketRoute(SOCKET, SocketResource(context))
    resources = {path: Resource(at, guarded) for path, at in by_path.items()}
    found = Router(
        [*(StarletteRoute(path, resource) for path, resource in resources.items()), socket],
        redirect_slashes=False,
        default=_nothing,
    ).app
    fixed = {path: resource for path, resource in resources.items() if "{" not in path}

    def routed(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # A pattern's `$` also matches before a line break at the end.
        if _has_false_slash(scope) or scope["path"].endswith("\n"):
            return _nothing(scope, receive, send)
        # Fixed paths first: trying the patterns of all paths takes longer than most handlers.
        if scope["type"] == "http" and (resource := fixed.get(get_route_path(scope))) is not None:
            return resource(scope, receive, send)
        return found(scope, receive, send)

    return routed


def _has_false_slash(scope: Scope) -> bool:
    """Whether the path has an encoded slash, which separates no segments: only a model's name may have one."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%2" not in raw:
        return False
    path = raw.lower()
    return path.count(b"%2f") > path.partition(MODELS)[2].count(b"%2f")


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound("there is nothing at this path")
