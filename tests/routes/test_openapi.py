from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.routes.openapi import document
from tidegate.routes.page_files import MEDIA_TYPES
from tidegate.routes.route import EVENTS, Route
from tidegate.routes.table import ROUTES

DOCUMENT = msgspec.json.decode(document(ROUTES))
PATHS = DOCUMENT["paths"]


def statuses(route: Route) -> set[int]:
    return {int(status) for status in PATHS[route.path.replace(":path", "")][route.method.lower()]["responses"]}


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


def operation(path: str, method: str) -> dict[str, Any]:
    return PATHS[path][method]


def schema_of(described: dict[str, Any]) -> Any:
    return described["content"]["application/json"]["schema"]


def named(reference: dict[str, str]) -> dict[str, Any]:
    return DOCUMENT["components"]["schemas"][reference["$ref"].rpartition("/")[2]]


@pytest.mark.parametrize("status", ["409", "413", "502", "504"])
def test_a_failed_whole_answer_has_the_snapshot_beside_its_error(status: str) -> None:
    """Failures of `POST /v1/streams` are described with the snapshot's fields beside `error`."""
    failed, plain = schema_of(operation("/v1/streams", "post")["responses"][status])["anyOf"]
    snapshot = named(schema_of(operation("/v1/streams/{id}", "get")["responses"]["200"]))
    assert named(failed)["properties"].keys() == snapshot["properties"].keys()
    assert named(failed)["properties"]["error"] == named(plain)["properties"]["error"]


def test_the_right_offset_is_described() -> None:
    """`error.offset` of a mismatch is there, and not required of other errors."""
    error = named(
        named(schema_of(operation("/v1/streams/{id}/append", "post")["responses"]["409"]))["properties"]["error"]
    )
    assert error["properties"]["offset"]["type"] == "integer"
    assert "offset" not in error["required"]


def test_what_answers_there_are_besides() -> None:
    """A repeated POST may be answered by 204, a handshake by 101 or 403, and a file has one of the pages' types."""
    assert {"200", "201", "202", "204"} <= operation("/v1/streams", "post")["responses"].keys()
    assert {"101", "403", "426"} <= operation("/v1/ws", "get")["responses"].keys()
    assert operation("/web/{file}", "get")["responses"]["200"]["content"].keys() == set(MEDIA_TYPES.values())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_operation(route: Route) -> None:
    """405 is everywhere, each answer names its headers, and event streams take `access_token` in the query."""
    described = operation(route.path.replace(":path", ""), route.method.lower())
    assert "allow" in described["responses"]["405"]["headers"]
    assert all("x-request-id" in answer["headers"] for answer in described["responses"].values())
    for status in {"429", "503"} & described["responses"].keys():
        assert {"retry-after", "retry-after-ms"} <= described["responses"][status]["headers"].keys()
    asked = {(parameter["in"], parameter["name"]) for parameter in described["parameters"]}
    assert (("query", "access_token") in asked) is route.events


def test_where_a_stream_is_found() -> None:
    """Whatever is answered for a stream says its id and its place."""
    for path, method in (("/v1/streams", "post"), ("/v1/streams/{id}/events", "get"), ("/v1/chat/completions", "post")):
        for status, answer in operation(path, method)["responses"].items():
            assert ({"location", "tidegate-stream"} <= answer["headers"].keys()) is status.startswith("2")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_an_event_stream_is_shown(route: Route) -> None:
    """Whoever gets events finds a sample of them, and a table of their kinds where they have names."""
    for answer in operation(route.path.replace(":path", ""), route.method.lower())["responses"].values():
        for media, content in answer.get("content", {}).items():
            if media == EVENTS:
                assert content["example"].startswith(("retry: ", "data: "))
                assert named(content["schema"])["examples"] == [content["example"]]


def test_every_code_is_listed() -> None:
    """The codes of errors stand beside their shape, each with its status, and none that is never answered."""
    codes = {told["code"]: told["status"] for told in DOCUMENT["components"]["schemas"]["ErrorBody"]["x-codes"]}
    assert codes["interrupted"] == 503
    assert not {"config_error", "in_use", "offline"} & codes.keys()
    assert {str(status) for status in codes.values()} <= {
        status for item in PATHS.values() for described in item.values() for status in described["responses"]
    }


def test_the_calls_of_the_websocket_are_listed() -> None:
    """What JSON Schema of HTTP has no place for stands in an extension, with a sample each."""
    assert [call["op"] for call in operation("/v1/ws", "get")["x-calls"]][:2] == ["create", "attach"]


def test_a_stream_in_a_list_may_have_its_question() -> None:
    """As a text, where it has one: the other fields are those of every stream."""
    page = named(schema_of(operation("/v1/streams", "get")["responses"]["200"]))
    listed = named(page["properties"]["data"]["items"])
    assert listed["properties"]["question"] == {"type": "string"}
    assert set(listed["required"]) == set(listed["properties"]) - {"question"}
