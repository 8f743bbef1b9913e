"""The description of a route: its path, who may call it, what it takes and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from tidegate.core.principal import Scope
from tidegate.routes.call import Call
from tidegate.routes.samples import SocketCall

Handler = Callable[[Call], Awaitable[None]]

EVENTS = "text/event-stream"
JSON = "application/json"
HTML = "text/html; charset=utf-8"


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the path, the query or the headers, with its JSON schema."""

    name: str
    place: Literal["path", "query", "header"]
    about: str
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One successful status: its media types, each with the type of its content or its events; None is not described.

    `headers` are its own, besides those of every answer.
    """

    status: int
    about: str
    content: dict[str, Any] = {}
    headers: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route.

    `scope` None: anyone may call it; any of `or_scopes` grants access, too. `failures`: its own statuses, besides those
    of every route. `bodies`: the types of its body, which is one of them. `calls`: those of its WebSocket. `events`:
    answers may be streams of events, so that GET also takes `?access_token=`. `shared`: a share token of the stream
    grants access, too. `limited`: calls are counted. `local`: whoever calls from this machine needs no credentials.
    `failed`: the type of a failure's body, if it has more than the error.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    name: str
    about: str
    handler: Handler
    scope: Scope | None = None
    or_scopes: tuple[Scope, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Any, ...] = ()
    body_optional: bool = False
    calls: tuple[SocketCall, ...] = ()
    answers: tuple[Answer, ...]
    failures: tuple[int, ...] = ()
    failed: Any = None
    events: bool = False
    shared: bool = False
    limited: bool = True
    local: bool = False
