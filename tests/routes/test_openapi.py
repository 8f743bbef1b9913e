from __future__ import annotations

import msgspec
import pytest

from tidegate.routes.openapi import document
from tidegate.routes.route import Route
from tidegate.routes.table import ROUTES

PATHS = msgspec.json.decode(document(ROUTES))["paths"]


def statuses(route: Route) -> set[int]:
    return {int(status) for status in PATHS[route.path][route.method.lower()]["responses"]}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope is not None], ids=lambda route: route.name)
def test_who_is_calling(route: Route) -> None:
    """Whoever has to say who is calling may be refused, and may come while nobody can tell."""
    assert {401, 403, 503} <= statuses(route)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.events], ids=lambda route: route.name)
def test_an_event_source_gets_no_429(route: Route) -> None:
    """It is told to come back by 200 and an event."""
    assert 429 not in statuses(route)


@pytest.mark.parametrize(
    "name", ["createStream", "getStream", "appendToStream", "beginSession", "getSharedPage", "listModels"]
)
def test_limited(name: str) -> None:
    """What counts as a request, or only where it fails, may be one too many."""
    (route,) = (route for route in ROUTES if route.name == name)
    assert 429 in statuses(route)
