"""What a route is: where it stands, who may call it, what it takes and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from tidegate.core.principal import Scope
from tidegate.routes.call import Call

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
    """One successful status: its media types with the type of their content (None: not described further).

    `headers` are those of its own, besides what every answer has.
    """

    status: int
    about: str
    content: dict[str, Any] = {}
    headers: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`scope` None: anyone may call it; `or_scopes` open it as well. `failures`: the statuses that are its own, besides
    those of every route.

    `bodies`: the types of which its body is one. `events`: answers may be streams of events, for whose sake GET also
    takes `?access_token=`. `shared`: a share token of the stream opens it, too. `limited`: it counts as a request.
    `failed`: the body of a failure that has more than its error.
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
    answers: tuple[Answer, ...]
    failures: tuple[int, ...] = ()
    failed: Any = None
    events: bool = False
    shared: bool = False
    limited: bool = True
