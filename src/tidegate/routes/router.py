"""Finds the route of a request, passes it through the gate's checks, and calls its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.errors import MethodNotAllowed, NotFound
from tidegate.gate.connections import TurnedAwayMiddleware
from tidegate.gate.route_policy import PRINCIPAL, ROUTE
from tidegate.routes.call import Call, Context
from tidegate.routes.patterns import path_below, pattern_of
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
    socket = SocketResource(context)
    resources = {path: Resource(at, guarded) for path, at in by_path.items()}
    # Fixed paths are looked up: trying the patterns of all paths takes longer than most handlers.
    fixed = {path: resource for path, resource in resources.items() if "{" not in path}
    patterns = [(pattern_of(path), resource) for path, resource in resources.items() if path not in fixed]

    def routed(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if _has_false_slash(scope):
            return _nothing(scope, receive, send)
        path = path_below(scope)
        if scope["type"] == "websocket":
            if path != SOCKET:
                return _nothing(scope, receive, send)
            scope[ROUTE] = by_path[SOCKET][0]
            return socket(scope, receive, send)
        if (resource := fixed.get(path)) is not None:
            return resource(scope, receive, send)
        for pattern, resource in patterns:
            if (found := pattern.fullmatch(path)) is not None:
                # An application around this one may have parameters, too.
                scope["path_params"] = {**scope.get("path_params", {}), **found.groupdict()}
                return resource(scope, receive, send)
        return _nothing(scope, receive, send)

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
