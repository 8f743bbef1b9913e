"""Makes the OpenAPI 3.1 document from the routes and their types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidegate.core.fold import Snapshot
from tidegate.errors import ConfigError, TidegateError
from tidegate.routes.route import JSON, Answer, Parameter, Route
from tidegate.routes.samples import EventStream

REF = "#/components/schemas/{name}"
RATE_LIMITS = tuple(
    f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")
)
HEADERS = {
    "x-request-id": "What the log knows the request by; the client's own, if it sent one.",
    "location": "Where the stream is to be found.",
    "tidegate-stream": "The stream's id.",
    "set-cookie": "The cookie of the server's own pages.",
    "allow": "The methods that the path takes.",
    "retry-after": "Seconds to wait.",
    "retry-after-ms": "The same in milliseconds.",
    "upgrade": "`websocket`.",
    "sec-websocket-protocol": "The subprotocol that is spoken, where one was offered.",
    "www-authenticate": "`Bearer`.",
    "x-should-retry": "`false` on what must not be repeated.",
    **dict.fromkeys(RATE_LIMITS, "Where the caller's requests, or tokens, are limited."),
}
OF_ERRORS = {
    401: ("www-authenticate",),
    405: ("allow",),
    426: ("upgrade",),
    429: ("retry-after", "retry-after-ms"),
    503: ("retry-after", "retry-after-ms"),
}
ACCESS_TOKEN = Parameter(
    name="access_token", place="query", about="The credential, for an `EventSource`, which cannot set headers."
)
EVERYWHERE = (400, 405, 408, 431, 500)
ERRORS = {
    400: "The request is not valid; `param` names the field.",
    401: "Credentials are missing or not valid.",
    402: "The upstream wants to be paid.",
    403: "The credentials lack the scope.",
    404: "There is nothing there, or it is another's.",
    405: "The path does not take this method.",
    408: "The request did not arrive in time.",
    409: "It conflicts with what is there.",
    410: "The upstream has it no longer.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The upstream cannot process the request.",
    426: "The upstream wants another protocol.",
    429: "Too many requests; see `retry-after`.",
    431: "The headers are too large.",
    500: "The server failed; the log has the request id.",
    502: "The upstream failed.",
    503: "The server, or what it needs for this, is not available at the moment; see `retry-after`.",
    504: "The upstream, or the stream's owner, has not answered in time.",
}


class ErrorDetail(msgspec.Struct, frozen=True):
    type: str
    code: str
    message: str
    param: str | None
    request_id: str | None
    offset: Annotated[
        int | UnsetType, Meta(description="Of an `offset_mismatch`: that of the last event, the right one.")
    ] = UNSET


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: ErrorDetail


class FailedStream(Snapshot, frozen=True, kw_only=True):
    """The body of a whole answer that has failed: the snapshot, with the error in the shape of all errors."""

    error: ErrorDetail  # type: ignore[reportIncompatibleVariableOverride]


def document(routes: Sequence[Route]) -> bytes:
    """The document as JSON."""
    types = [ErrorBody, *(body for route in routes for body in route.bodies)]
    types += [route.failed for route in routes if route.failed]
    contents = [kind for route in routes for answer in route.answers for kind in answer.content.values() if kind]
    types += [kind for kind in contents if not isinstance(kind, EventStream)]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    by_type = dict(zip(types, schemas, strict=True))
    components |= {kind.name: kind.schema() for kind in contents if isinstance(kind, EventStream)}
    components[ErrorBody.__name__]["x-codes"] = list(codes())
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        # OpenAPI has no path parameters with slashes.
        paths.setdefault(route.path.replace(":path}", "}"), {})[route.method.lower()] = _operation(route, by_type)
    # Imported with the first request for the document: `importlib.metadata` brings zip files, mail and CSV.
    from importlib.metadata import version

    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "tidegate", "version": version("tidegate"), "license": {"name": "Apache-2.0"}},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def codes(kind: type[TidegateError] = TidegateError) -> Iterator[dict[str, Any]]:
    """What a program decides by: every code that is answered, with its status. Clients have errors of their own."""
    if kind is ConfigError or kind.__module__ != TidegateError.__module__:
        return
    yield {"code": kind.code, "status": kind.status, "retryable": kind.retryable}
    for narrower in kind.__subclasses__():
        yield from codes(narrower)


def _operation(route: Route, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.about,
        "parameters": [
            _parameter(parameter) for parameter in (*route.parameters, *([ACCESS_TOKEN] if route.events else []))
        ],
        "responses": {str(answer.status): _answer(answer, route, by_type) for answer in route.answers},
    }
    for status in _failures(route):
        operation["responses"][str(status)] = _error(status, route, by_type)
    if route.scope is not None:
        operation["security"] = [*({"key": [scope]} for scope in (route.scope, *route.or_scopes)), {}]
    if route.calls:
        operation["x-calls"] = route.calls
    if route.bodies:
        schemas = [by_type[body] for body in route.bodies]
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}},
        }
    return operation


def _failures(route: Route) -> list[int]:
    # 503: the issuer or the store, which credentials are checked with, may be down.
    guarded = (401, 403, 503) if route.scope is not None else ()
    # 403: for pages of other sites.
    foreign = (403,) if route.method != "GET" else ()
    # An `EventSource` is told to reconnect, with 200.
    limited = (429,) if route.scope is not None and route.limited and not route.events else ()
    return sorted({*EVERYWHERE, *guarded, *foreign, *limited, *route.failures})


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.about,
        "schema": parameter.schema,
    }


def _answer(answer: Answer, route: Route, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    content = {media: _content(kind, by_type) for media, kind in answer.content.items()}
    described = {"description": answer.about, "headers": _headers((*answer.headers, *_limits(route)))}
    return {**described, "content": content} if content else described


def _limits(route: Route) -> tuple[str, ...]:
    return RATE_LIMITS if route.scope is not None and route.limited else ()


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in ("x-request-id", *names)}


def _content(kind: Any, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(kind, EventStream):
        return {"schema": {"$ref": REF.format(name=kind.name)}, "example": kind.sample}
    return {} if kind is None else {"schema": by_type[kind]}


def _error(status: int, route: Route, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    schema = by_type[ErrorBody]
    if route.failed is not None:
        schema = {"anyOf": [by_type[route.failed], schema]}
    names = ("x-should-retry", *OF_ERRORS.get(status, ()), *_limits(route))
    return {"description": ERRORS[status], "headers": _headers(names), "content": {JSON: {"schema": schema}}}
