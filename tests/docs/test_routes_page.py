"""docs/routes.md has every route, and no other one."""

from __future__ import annotations

from document_kit import named, rows

from tidegate.routes.route import Route
from tidegate.routes.table import ROUTES

HEADS = ("call", "scope", "does", "more")


def call(route: Route) -> str:
    return f"{route.method} {route.path.replace(':path}', '}')}"


def scopes(route: Route) -> list[str]:
    return [each for each in (route.scope, *route.or_scopes) if each]


def test_every_route_is_on_the_page_with_its_scopes() -> None:
    """Once, and no other one."""
    written = [(named(call)[0], named(scope)) for call, scope, *_ in rows("routes.md", *HEADS)]
    assert sorted(written) == sorted((call(route), scopes(route)) for route in ROUTES)


def test_the_page_says_who_needs_no_scope() -> None:
    """Routes that are open to all, to whoever has a share link, and to this machine."""
    told = {named(call)[0]: scope for call, scope, *_ in rows("routes.md", *HEADS)}
    open_to_all = {call(route) for route in ROUTES if route.scope is None}
    assert {each for each, scope in told.items() if scope.startswith("anyone")} == open_to_all
    assert {each for each, scope in told.items() if "share token" in scope} == {call(r) for r in ROUTES if r.shared}
    assert {each for each, scope in told.items() if "this machine" in scope} == {call(r) for r in ROUTES if r.local}


def test_what_is_open_to_an_application_is_explained_somewhere() -> None:
    """Every route under /v1 leads to the page that explains it."""
    assert [row[0] for row in rows("routes.md", *HEADS) if "`GET /v1/" in row[0] and "](" not in row[3]] == []
